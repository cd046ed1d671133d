/** Training data whose negatives are replaced while a model trains: the same places with any negatives. */
import { expect, test } from "vitest";
import { openTrainingSet, planStep } from "../../../src/data/index.js";
import { newCollection, passages, qrels, queries, sourceOf } from "./collection.js";
import { binary, mix } from "./training-sets.js";

const COUNT = 12;

function collection() {
  const judged = Array.from({ length: COUNT }, (_, row) => [`q${row}`, `d${row}`, 1] as const);
  const mined = (shift: number, count: number) =>
    Array.from(
      { length: count * 4 },
      (_, at) => [`q${Math.floor(at / 4)}`, `d${20 + ((at + shift) % 40)}`, 0.5] as const,
    );
  return newCollection({
    "corpus.jsonl": passages(60),
    "queries.jsonl": queries(COUNT),
    "train.tsv": qrels(judged),
    // Four queries have no negative of their own; one negative is a known positive.
    "first.tsv": qrels([...mined(0, 8), ["q0", "d0", 0.9]]),
    "second.tsv": qrels(mined(7, 10)),
  });
}

const data = (negatives: string | null, negativesPerQuery = 2) =>
  binary({
    positives: sourceOf({ qrels: "train.tsv" }),
    ...(negatives === null ? {} : { negatives: sourceOf({ qrels: negatives }) }),
    negativesPerQuery,
  });

test("queries keep their places whatever the negatives; those without one have a smaller group", async () => {
  const { context } = collection();
  const given = await openTrainingSet(data("first.tsv"), { ...context, refreshed: [0] });
  const mined = await openTrainingSet(data("second.tsv"), { ...context, refreshed: [0] });
  const none = await openTrainingSet(data(null), { ...context, refreshed: [0] });
  const plain = await openTrainingSet(data("first.tsv"), context);
  expect([given, mined, none].map(({ queryCount }) => queryCount)).toEqual([COUNT, COUNT, COUNT]);
  expect(plain.queryCount).toBe(8);
  for (let step = 0; step < 9; step += 1) {
    const queriesOf = (set: typeof given) => planStep(set, step, 4).map(({ query }) => query);
    expect(queriesOf(mined)).toEqual(queriesOf(given));
    expect(queriesOf(none)).toEqual(queriesOf(given));
    for (const { query, count } of planStep(given, step, 4)) expect(count).toBe(query < 8 ? 3 : 1);
    for (const { count, passages: rows } of planStep(none, step, 4)) {
      expect(count).toBe(1);
      expect(rows).toHaveLength(3);
    }
    // Known positives are never negatives.
    for (const { query, passages: rows, count } of planStep(given, step, 4)) {
      for (const row of rows.slice(1, count)) expect(given.isKnownPositive(query, row)).toBe(false);
    }
  }
  const fingerprints = [given, mined, none, plain].map(({ fingerprint }) => fingerprint);
  expect(new Set(fingerprints).size).toBe(4);
});

test("of a mix only the parts that are named keep their places, and negatives that are asked for must be there else", async () => {
  const { context } = collection();
  const parts = [{ data: data("first.tsv") }, { data: data(null) }];
  const set = await openTrainingSet(mix(parts), { ...context, refreshed: [1] });
  expect(set.queryCount).toBe(8 + COUNT);
  await expect(openTrainingSet(mix(parts), { ...context, refreshed: [0] })).rejects.toThrow("there are no negatives");
});
