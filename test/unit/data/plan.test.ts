/** The plan of training: the same groups for everybody, every query once an epoch, conflicts mended. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { planStep, stepsOf } from "../../../src/data/index.js";
import { permuted } from "../../../src/data/permutation.js";
import { Draws, threefry } from "../../../src/data/random.js";
import type { TrainingSet } from "../../../src/data/types.js";
import { newCollection, passages, qrels, queries, sourceOf } from "./collection.js";
import { binary, open } from "./training-sets.js";

test("the generator is Threefry-2x32 (the known answers of its authors)", () => {
  const out = new Uint32Array(2);
  const hex = (...words: [number, number, number, number]): string => {
    threefry(...words, out);
    return [...out].map((word) => word.toString(16).padStart(8, "0")).join(" ");
  };
  expect(hex(0, 0, 0, 0)).toBe("6b200159 99ba4efe");
  expect(hex(0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff)).toBe("1cb996fc bb002be7");
  expect(hex(0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3)).toBe("c4923a9c 483df7a0");
});

test("the order of an epoch is a permutation for every size and seed", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 600 }), fc.nat(0xffffffff), fc.nat(1000), (n, seed, epoch) => {
      const order = Array.from({ length: n }, (_, place) => permuted(place, n, seed, epoch));
      expect([...order].sort((one, other) => one - other)).toEqual([...order.keys()]);
    }),
    { numRuns: 200 },
  );
});

test("the order of an epoch stays what the README says", () => {
  const order = (n: number, seed: number, epoch: number): string =>
    Array.from({ length: n }, (_, place) => permuted(place, n, seed, epoch)).join(" ");
  expect(order(10, 42, 0)).toBe("3 8 4 9 6 5 0 2 7 1");
  expect(order(10, 42, 1)).toBe("1 2 0 6 9 8 5 4 3 7");
  expect(permuted(8_841_822, 8_841_823, 42, 3)).toBe(5_299_337);
  const draws = new Draws(42, 0, 7, 2);
  expect([draws.below(100), draws.below(100), draws.below(100)]).toEqual([39, 25, 46]);
});

test("every query is equally likely in every place, even of few", () => {
  for (const n of [3, 10, 17]) {
    const counts = Array.from({ length: n }, () => new Array<number>(n).fill(0));
    for (let epoch = 0; epoch < 2000; epoch += 1) {
      for (let place = 0; place < n; place += 1) counts[place]![permuted(place, n, 5, epoch)]! += 1;
    }
    const expected = 2000 / n;
    const chi = counts.flat().reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    const freedom = (n - 1) ** 2;
    expect(chi).toBeLessThan(freedom + 5 * Math.sqrt(2 * freedom));
  }
});

/** Each of 12 queries has one positive of its own, and all share 30 negatives, two of which are others' positives. */
async function sharedNegatives(negativesPerQuery: number, seed = 42): Promise<TrainingSet> {
  const { context } = newCollection({
    "corpus.jsonl": passages(60),
    "queries.jsonl": queries(12),
    "train.tsv": qrels(Array.from({ length: 12 }, (_, row) => [`q${row}`, `d${row}`, 1] as const)),
    "mined.tsv": qrels(
      Array.from({ length: 12 * 32 }, (_, at) => [`q${Math.floor(at / 32)}`, `d${10 + (at % 32)}`, 0.5] as const),
    ),
  });
  return open(
    binary({
      positives: sourceOf({ qrels: "train.tsv" }),
      negatives: sourceOf({ qrels: "mined.tsv" }),
      negativesPerQuery,
    }),
    { ...context, seed },
  );
}

test("a step is the same whenever and in whatever order it is asked for, and seeds differ", async () => {
  const set = await sharedNegatives(2);
  const steps = [0, 1, 2, 3, 4].map((step) => planStep(set, step, 4));
  for (const step of [3, 0, 4, 1, 2, 2]) expect(planStep(set, step, 4)).toEqual(steps[step]);
  const again = await sharedNegatives(2);
  expect(planStep(again, 3, 4)).toEqual(steps[3]);
  expect(again.fingerprint).toBe(set.fingerprint);
  expect(planStep(await sharedNegatives(2, 43), 0, 4)).not.toEqual(steps[0]);
});

test("each epoch shows every query once, also where a step reaches into the next epoch", async () => {
  const set = await sharedNegatives(1);
  const shown = Array.from({ length: 12 }, (_, step) => planStep(set, step, 5)).flat();
  for (let epoch = 0; epoch < 5; epoch += 1) {
    const seen = shown.slice(epoch * 12, (epoch + 1) * 12).map(({ query }) => query);
    expect(new Set(seen).size).toBe(12);
  }
  expect([stepsOf(set, 1, 5), stepsOf(set, 2, 12), stepsOf(set, 1, 100)]).toEqual([3, 2, 1]);
});

test("a part of an epoch makes no step more than its queries fill", () => {
  const steps = (queryCount: number, epochs: number, batch: number): number =>
    stepsOf({ queryCount } as TrainingSet, epochs, batch);
  // 100 × 1.1 is 110.00000000000001 to a machine.
  expect([steps(100, 1.1, 10), steps(100, 1.101, 10), steps(10, 0.3, 3), steps(3, 1.1, 1)]).toEqual([11, 12, 1, 4]);
});

test("no negative stands twice in a step or is another query's positive while others are free", async () => {
  for (const negativesPerQuery of [1, 2]) {
    const set = await sharedNegatives(negativesPerQuery);
    for (let step = 0; step < 30; step += 1) {
      const groups = planStep(set, step, 12);
      const negatives = groups.flatMap(({ passages: rows }) => [...rows.slice(1)]);
      expect(new Set(negatives).size).toBe(negatives.length);
      for (const { query } of groups) for (const row of negatives) expect(set.isKnownPositive(query, row)).toBe(false);
      for (const { query, passages: rows, labels } of groups) {
        expect(set.isKnownPositive(query, rows[0] as number)).toBe(true);
        expect([...labels]).toEqual([1, ...new Array<number>(negativesPerQuery).fill(0)]);
      }
    }
  }
});

test("where there are too few candidates, queries keep their places", async () => {
  const set = await sharedNegatives(3);
  const groups = planStep(set, 0, 12);
  expect(new Set(groups.map(({ query }) => query)).size).toBe(12);
  const negatives = groups.flatMap(({ passages: rows }) => [...rows.slice(1)]);
  expect(new Set(negatives).size).toBeGreaterThanOrEqual(30);
});
