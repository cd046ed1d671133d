/** A text is encoded once, whatever asks for its vector; only what changed is encoded again. */
import { readdirSync, readFileSync } from "node:fs";
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findPython } from "../../src/python/environment.js";
import { openWorkplace, type Workplace } from "../e2e/harness.js";

const PASSAGES = 480;
let place: Workplace;

const body = (name: string, more = ""): string => `
  name: ${JSON.stringify(name)},
  model: biEncoder(${JSON.stringify(place.model)}, { dtype: "float32" }),
  evaluate: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }), topK: 20, measures: ["nDCG@10"] },
  mine: { data: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }), topK: 30 },
  encode: { data: source({ corpus: "collection" }) },
  workers: { count: 1, threads: 1, unitSize: 32, batchSize: 8 },
  ${more}
`;

beforeAll(async () => {
  place = await openWorkplace({ passages: PASSAGES });
});
afterAll(() => place.remove());

/** Texts encoded by the steps of a run, by step. */
async function encoded(name: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const lines = (await readFile(join(place.folder, "runs", name, "events.jsonl"), "utf8")).trim().split("\n");
  for (const line of lines) {
    const { type, phase, done } = JSON.parse(line) as { type: string; phase: string; done: number };
    if (type === "phaseFinished" && /passages$|queries$|^encode-base$/.test(phase)) counts[phase] = done;
  }
  return counts;
}

async function run(name: string, verb = "run", more = ""): Promise<void> {
  await place.experiment(body(name, more));
  const result = await place.quarry(verb, "experiment.ts");
  expect(result.stderr).toBe("");
  expect(result.exitCode).toBe(0);
}

const runFile = (name: string): string =>
  readFileSync(join(place.folder, "runs", name, "evaluate-base/run.trec"), "utf8").replaceAll(/ \S+$/gm, "");

test("evaluation, mining and encoding encode each text once; a changed corpus costs its changed texts", async () => {
  await run("first");
  const texts = new Set(
    readFileSync(join(place.collection, "corpus.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.stringify({ ...JSON.parse(line), _id: "" })),
  );
  expect(await encoded("first")).toEqual({
    // Of 24 queries each, eight texts differ.
    "evaluate-base/queries": 8,
    "evaluate-base/passages": texts.size,
    "mine-base/queries": 8,
  });
  const vectors = readFileSync(join(place.folder, "runs/first/encode-base/vectors.npy"));
  expect(vectors.toString("latin1", 10, 128)).toContain(`'shape': (${PASSAGES}, 32)`);

  await run("again", "evaluate");
  expect(await encoded("again")).toEqual({});
  expect(runFile("again")).toBe(runFile("first"));

  const corpus = join(place.collection, "corpus.jsonl");
  const before = await readFile(corpus, "utf8");
  try {
    const [first = "", ...others] = before.split("\n");
    const changed = JSON.stringify({ ...JSON.parse(first), text: "quite another text" });
    await writeFile(corpus, [changed, ...others].join("\n"));
    await appendFile(corpus, `${JSON.stringify({ _id: "new", title: "", text: "a text that is new" })}\n`);
    await run("changed", "evaluate");
    expect(await encoded("changed")).toEqual({ "evaluate-base/passages": 2 });
  } finally {
    await writeFile(corpus, before);
  }
});

test("with and without the store passages rank alike, and scores differ by no more than the last bits", async () => {
  await run("stored", "evaluate");
  await run("streaming", "evaluate", "embeddings: { store: false },");
  const parse = (text: string) =>
    text
      .trim()
      .split("\n")
      .map((line) => line.split(" "));
  const [stored, streaming] = [parse(runFile("stored")), parse(runFile("streaming"))];
  expect(stored.length).toBe(streaming.length);
  const scores = new Map(streaming.map(([query, , passage, , score]) => [`${query} ${passage}`, Number(score)]));
  for (const [at, [query, , passage, , score]] of stored.entries()) {
    expect(Math.abs(Number(score) - Number(streaming[at]?.[4])), `rank of ${query} ${passage}`).toBeLessThan(2e-6);
    const other = scores.get(`${query} ${passage}`);
    if (other !== undefined) expect(Math.abs(Number(score) - other)).toBeLessThan(2e-6);
  }
});

test.each(["int8", "bfloat16", "float16"])("%s: exported vectors are the rounded ones", async (dtype) => {
  const more = `embeddings: { dtype: "${dtype}" },`;
  await run(`kept-${dtype}`, "evaluate", more);
  await place.experiment(body(`out-${dtype}`, more));
  const result = await place.quarry("encode", "experiment.ts", "--encode.export", "parquet");
  expect([result.exitCode, result.stderr]).toEqual([0, ""]);
  expect(await encoded(`out-${dtype}`)).toEqual({});
  expect(readdirSync(join(place.folder, `runs/out-${dtype}/encode-base`)).sort()).toEqual([
    "ids.json",
    "vectors.parquet",
  ]);
  const python = await findPython({ extras: ["test"] });
  const script = `
import json, sys, glob, numpy as np, pyarrow as pa, pyarrow.parquet as pq
folder, store = sys.argv[1:]
table = pq.read_table(folder + "/vectors.parquet")
shards = [pa.ipc.open_file(path).read_all() for path in glob.glob(store + "/*/shard-*/vectors.arrow")]
kinds = {"${dtype}": {"float16": "halffloat", "bfloat16": "uint16", "int8": "int8"}["${dtype}"]}
own = [s for s in shards if str(s.schema.field("vector").type.value_type) == kinds["${dtype}"]]
print(json.dumps([table.num_rows, sum(s.num_rows for s in own), [round(float(np.linalg.norm(v)), 2) for v in table["vector"].to_pylist()[:3]]]))
`;
  const folder = join(place.folder, `runs/out-${dtype}/encode-base`);
  const { stdout } = await execa(python.executable, ["-c", script, folder, join(place.folder, "cache/embeddings")]);
  const [exported, stored, norms] = JSON.parse(stdout) as [number, number, number[]];
  expect(exported).toBe(PASSAGES);
  expect(stored).toBe(160);
  for (const norm of norms) expect(Math.abs(norm - 1)).toBeLessThan(0.02);
});

test("a question from the command line finds passages, and the run file and the hits agree", async () => {
  await place.experiment(body("asked", 'search: { data: source({ corpus: "collection" }), topK: 5 },'));
  const result = await place.quarry("search", "experiment.ts", "--text", "river silver", "--reporter", "plain");
  expect([result.exitCode, result.stderr]).toEqual([0, ""]);
  const folder = readdirSync(join(place.folder, "runs/asked")).find((name) =>
    name.startsWith("search-base-"),
  ) as string;
  const read = (file: string): string => readFileSync(join(place.folder, "runs/asked", folder, file), "utf8");
  const [hit] = JSON.parse(read("hits.json")) as { text: string; passages: { id: string; score: number }[] }[];
  expect(hit?.text).toBe("river silver");
  const lines = read("run.trec").trim().split("\n");
  expect(lines.map((line) => line.split(" ")[2])).toEqual(hit?.passages.map(({ id }) => id));
  for (const { id } of hit?.passages ?? []) expect(result.stdout).toContain(id);
  const queries = await place.quarry("search", "experiment.ts", "--search.topK", "3");
  expect([queries.exitCode, queries.stderr]).toEqual([0, ""]);
  expect(readFileSync(join(place.folder, "runs/asked/search-base/run.trec"), "utf8").trim().split("\n")).toHaveLength(
    48 * 3,
  );
});

test("quarry cache lists the vectors of each model and prunes them", async () => {
  const list = async (): Promise<{ kind: string; bytes: number; sources: string[]; format: string }[]> => {
    const { stdout } = await place.quarry("cache", "list", "--json");
    return (JSON.parse(stdout) as { entries: [] }).entries;
  };
  const before = (await list()).filter(({ kind }) => kind === "embeddings");
  expect(before.map(({ format }) => format).sort()).toEqual([
    "passage bfloat16",
    "passage float16",
    "passage float32",
    "passage int8",
    "query float32",
  ]);
  expect(before.every(({ sources, bytes }) => sources[0] === place.model && bytes > 0)).toBe(true);
  const others = (await list()).length - before.length;
  expect((await place.quarry("cache", "prune", "--all", "--kind", "embeddings")).exitCode).toBe(0);
  expect((await list()).map(({ kind }) => kind)).not.toContain("embeddings");
  expect(await list()).toHaveLength(others);
});
