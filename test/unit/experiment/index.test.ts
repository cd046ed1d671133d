/** What is said about options of indexes and exports that do not fit together, before any process starts. */
import { expect, test } from "vitest";
import { biEncoder, defineExperiment, source } from "../../../src/experiment/define.js";

const data = source({ corpus: "corpus.jsonl" });
const define = (index: object | string, more: object = {}) =>
  defineExperiment({ name: "x", model: biEncoder("owner/name"), search: { data, index: index as never }, ...more });

test.each([
  [{}, { kind: "flat" }],
  ["exact", "exact"],
  [
    { kind: "ivf", nlist: 4, nprobe: 4 },
    { kind: "ivf", nlist: 4, nprobe: 4 },
  ],
  [
    { folder: "index", nprobe: 3 },
    { folder: "index", nprobe: 3 },
  ],
])("%j is taken", (index, taken) => {
  expect(define(index).config.search?.index).toEqual(taken);
});

test.each([
  [{ kind: "ivff" }, /^search\.index\.kind: .* did you mean ivf\?$/],
  [{ kind: "ivf", nprob: 3 }, /^search\.index\.nprob: unknown option; did you mean nprobe\?$/],
  [{ folder: "index", nprobes: 3 }, /^search\.index\.nprobes: unknown option; did you mean nprobe\?$/],
  [{ nlist: 3 }, /^search\.index\.nlist: is an option of ivf, but search\.index\.kind is flat/],
  [{ kind: "ivf", m: 3 }, /^search\.index\.m: is an option of hnsw/],
  [{ kind: "ivf", nlist: 3, nprobe: 9 }, /^search\.index\.nprobe: looks into 9 of 3 lists/],
])("%j is refused", (index, message) => {
  expect(() => define(index)).toThrow(message);
});

test("an index needs stored vectors, and an export's options are checked as well", () => {
  expect(() => define({ folder: "index" }, { embeddings: { store: false } })).toThrow(/search\.index: needs stored/);
  expect(() => define("exact", { encode: { data, index: { kind: "ivf" } } })).toThrow(
    'encode.index: is what export "faiss" writes, but encode.export is npy',
  );
  const encode = { data, export: "faiss", index: { kind: "hnsw", nlist: 3 } };
  expect(() => define("exact", { encode })).toThrow(/^encode\.index\.nlist: is an option of ivf/);
});

test("without the store there is a float32 NumPy matrix only, and another export is refused before any work", () => {
  const without = (encode: object, embeddings: object) =>
    define("exact", { encode: { data, ...encode }, embeddings: { store: false, ...embeddings } });
  expect(without({}, {}).config.encode?.export).toBe("npy");
  for (const written of ["parquet", "faiss", "none"]) {
    const message = `encode.export: is ${written}, but without the store vectors are written as a float32 NumPy matrix only`;
    expect(() => without({ export: written }, {})).toThrow(message);
  }
  expect(() => without({}, { dtype: "int8" })).toThrow(/^embeddings\.dtype: is int8, but without the store/);
});

test("an index of a model that compares by neither dot nor cosine is refused before any work", () => {
  const similar = (similarity: string, index: object | string, more: object = {}) =>
    define(index, { model: biEncoder("owner/name", { similarity }), ...more });
  const exported = { encode: { data, export: "faiss" } };
  const other = "a FAISS index compares by dot or cosine, and model.similarity is euclidean";
  for (const index of [{ kind: "flat" }, { kind: "ivf" }, { kind: "hnsw" }, { folder: "index" }])
    expect(() => similar("euclidean", index)).toThrow(`search.index: ${other}`);
  expect(() => similar("euclidean", "exact", exported)).toThrow(`encode.export: ${other}; export npy or parquet`);
  expect(similar("cosine", {}, exported).config.model.similarity).toBe("cosine");
  expect(similar("euclidean", "exact").config.model.similarity).toBe("euclidean");
});
