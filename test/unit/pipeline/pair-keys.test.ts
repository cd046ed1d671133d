/** A pair is known by what it says and by who scores it, whatever ids and rows it has. */
import { expect, test } from "vitest";
import { prepareSource } from "../../../src/data/index.js";
import { pairKeys } from "../../../src/pipeline/pair-keys.js";
import { jsonLines, newCollection, qrels, sourceOf } from "../data/collection.js";

test("equal pairs have one key for one cross-encoder, and another for another", async () => {
  const texts = ["stars", "planets", "stars"];
  const records = texts.map((text, row) => ({ _id: `${row}`, text }));
  const { context } = newCollection({
    "corpus.jsonl": jsonLines(records),
    "queries.jsonl": jsonLines(records),
    "train.tsv": qrels([["0", "0", 1]]),
  });
  const source = await prepareSource(sourceOf({ queries: "queries.jsonl", qrels: "train.tsv" }), context);
  const pairs = { queryRows: Int32Array.of(0, 2, 0, 1), passageRows: Int32Array.of(0, 2, 1, 0) };
  const keysOf = (fingerprint: string) => {
    const { bytes, count } = pairKeys(source, pairs, fingerprint);
    const size = bytes.length / count;
    return Array.from({ length: count }, (_, pair) =>
      Buffer.from(bytes).toString("hex", pair * size, (pair + 1) * size),
    );
  };
  const [one, other] = [keysOf("a"), keysOf("b")];
  expect(one[1]).toBe(one[0]);
  expect(new Set([...one, ...other]).size).toBe(6);
  source.close();
});
