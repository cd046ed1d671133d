/** Views whose queries have too little to form groups from: in the first epoch, and in later ones. */
import { describe, expect, test } from "vitest";
import { openTrainingSet } from "../../../src/data/index.js";
import { step, type Triplet, type TripletGroup } from "../../../src/experiment/function-step.js";
import { newCollection, passages, queries, sourceOf } from "./collection.js";
import { binary, multiLevel, tsv } from "./training-sets.js";

describe("a groupFilter that leaves little in a later epoch", () => {
  const files = {
    "corpus.jsonl": passages(6),
    "queries.jsonl": queries(1),
    "a.tsv": tsv([
      [0, 0, 2],
      [0, 1, 1],
      [0, 2, 0],
      [0, 3, 0],
    ]),
  };
  const later = (keeps: (triplets: readonly Triplet[]) => readonly Triplet[]) =>
    sourceOf({
      qrels: "a.tsv",
      groupFilter: step({ name: "later", fn: ({ epoch, triplets }: TripletGroup) => epoch === 0 || keeps(triplets) }),
    });

  test("stops every view with the query's place where no positive is left", async () => {
    const { context, dir } = newCollection(files);
    const irrelevant = later((triplets) => triplets.filter(({ score }) => score <= 0));
    const sets = [
      multiLevel({ sources: [later(() => [])], passagesPerQuery: 2 }),
      multiLevel({ sources: [later(() => [])], passagesPerQuery: 2, selection: "least" }),
      multiLevel({ sources: [irrelevant], passagesPerQuery: 2, selection: "most" }),
      binary({ positives: later(() => []) }),
    ];
    for (const data of sets) {
      const set = await openTrainingSet(data, context);
      expect(set.group(0, 0).labels.every(Number.isFinite)).toBe(true);
      for (const call of [() => set.group(0, 1), () => set.spares(0, 1)]) {
        expect(call).toThrow(`${dir}/queries.jsonl:1: no positive of query "q0" is left in epoch 1.`);
      }
      set.close();
    }
  });

  test('stops where tooFew is "error" and a group would be short', async () => {
    const { context, dir } = newCollection(files);
    const sources = [later((triplets) => triplets.slice(0, 2))];
    for (const tooFew of ["error", "fewer"] as const) {
      const set = await openTrainingSet(multiLevel({ sources, passagesPerQuery: 4, tooFew }), context);
      expect(set.group(0, 0).count).toBe(4);
      if (tooFew === "fewer") expect(set.group(0, 1).count).toBe(2);
      else {
        const message = `${dir}/queries.jsonl:1: query "q0" has 2 of the 4 passages of a group in epoch 1.`;
        expect(() => set.group(0, 1)).toThrow(message);
      }
      set.close();
    }
  });
});

test("both views count the same judged queries, those that the filters take away entirely as well", async () => {
  const { context, warnings } = newCollection({
    "corpus.jsonl": passages(6),
    "queries.jsonl": queries(4),
    "a.tsv": tsv([
      [0, 0, 2],
      [0, 1, 1],
      [1, 2, 0],
      [3, 3, 0],
    ]),
  });
  const source = sourceOf({ qrels: "a.tsv", minScore: 1 });
  (await openTrainingSet(binary({ positives: source }), context)).close();
  (await openTrainingSet(multiLevel({ sources: [source], passagesPerQuery: 2 }), { ...context })).close();
  expect(warnings).toHaveLength(2);
  expect(warnings[1]).toBe(warnings[0]);
  expect(warnings[0]).toContain("2 queries of 3 cannot form a group and are left out (2 without a positive)");
});
