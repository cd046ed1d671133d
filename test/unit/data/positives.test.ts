/** What makes a positive where several sources judge: the judgement that counts, of the whole that the sources say. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULT_VALIDATION, type Finding } from "../../../src/data/findings.js";
import { openTrainingSet } from "../../../src/data/views/open-training-set.js";
import type { MergeRule, SourceConfig } from "../../../src/experiment/schema.js";
import { newCollection, passages, queries, sourceOf } from "./collection.js";
import { binary, multiLevel, scored, tsv } from "./training-sets.js";

type Triplet = [query: number, passage: number, score: number];

function collectionOf(...judged: (readonly Triplet[])[]) {
  const files = Object.fromEntries(judged.map((list, at) => [`${at}.tsv`, tsv(list)]));
  return newCollection({ "corpus.jsonl": passages(6), "queries.jsonl": queries(4), ...files });
}

const combined = (merge: MergeRule, ...options: Partial<SourceConfig>[]) => ({
  kind: "combined" as const,
  merge,
  sources: options.map((each, at) => sourceOf({ qrels: `${at}.tsv`, ...each })),
});

const first: Triplet[] = [
  [0, 1, 1],
  [0, 2, 1],
  [1, 3, 1],
];
const second: Triplet[] = [
  [0, 1, 0],
  [0, 2, 2],
];

test.each([
  ["last", [2]],
  ["first", [1, 2]],
  ["max", [1, 2]],
] as const)(
  "under the rule %s the passages of q0 are positives whose score that counts is above 0",
  async (merge, expected) => {
    const { context } = collectionOf(first, second);
    const set = await openTrainingSet(binary({ positives: combined(merge, {}, {}) }), context);
    expect([...set.knownPositives(0)]).toEqual(expected);
    const drawn = new Set(Array.from({ length: 6 }, (_, epoch) => set.group(0, epoch).passages[0]));
    expect(drawn).toEqual(new Set(expected));
    set.close();
  },
);

test("two sources that call a passage relevant and irrelevant are refused under error, and told by a check", async () => {
  const { context, dir } = collectionOf(first, [[0, 1, 0]]);
  const data = scored({ positives: combined("error", {}, {}) });
  await expect(openTrainingSet(data, context)).rejects.toMatchObject({
    code: "DATA",
    message: expect.stringContaining(`has the score 1 here and 0 in ${dir}/1.tsv:2`),
  });
  const found: Finding[] = [];
  const check = {
    ...context,
    validation: DEFAULT_VALIDATION,
    isCheck: true,
    onFinding: (each: Finding) => found.push(each),
  };
  const set = await openTrainingSet(data, check);
  expect(found).toMatchObject([{ kind: "merge", count: 1 }]);
  expect([...set.knownPositives(0)]).toEqual([2]);
  set.close();
});

test("a source's own minScore decides what its judgements say", async () => {
  const { context } = collectionOf(first, [[0, 1, 0]]);
  const open = (...options: Partial<SourceConfig>[]) =>
    openTrainingSet(scored({ positives: combined("last", ...options) }), context);
  const asked = await open({}, { minScore: 0 });
  expect([...asked.knownPositives(0)].sort()).toEqual([1, 2]);
  const ignored = await open({}, { minScore: 1 });
  expect([...ignored.knownPositives(0)]).toEqual([1, 2]);
  asked.close();
  ignored.close();
});

test("a passage that the judgement that counts takes back is drawn by no group step, and may be a negative", async () => {
  const { context, warnings } = collectionOf(
    first,
    [
      [0, 1, 0],
      [1, 3, 0],
    ],
    [[0, 1, 9]],
  );
  const positives = combined("last", { groupFirstK: 1 }, {});
  const negatives = sourceOf({ qrels: "2.tsv" });
  const set = await openTrainingSet(binary({ positives, negatives, negativesPerQuery: 1 }), context);
  expect([...set.group(0, 0).passages]).toEqual([2, 1]);
  expect(set.queryCount).toBe(1);
  expect(warnings.join("\n")).toContain("1 query of 2 cannot form a group and are left out (1 without a positive");
  expect(warnings.join("\n")).not.toContain("positive of its query as well");
  set.close();
});

test("positives are the passages that the multi-level view over the same sources finds relevant", async () => {
  const triplets = fc.array(
    fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 5 }), fc.integer({ min: -1, max: 2 })) as fc.Arbitrary<Triplet>,
    { maxLength: 14 },
  );
  const sources = fc.array(triplets, { minLength: 2, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(sources, fc.constantFrom<MergeRule>("last", "first", "max"), async (lists, merge) => {
      // A source must hold a judgement, and both views a query that can form a group.
      const judged = lists.map((list) => [...list, [3, 0, 1], [3, 1, 0]] as Triplet[]);
      const { context } = collectionOf(...judged);
      const positives = combined(merge, ...judged.map(() => ({})));
      const set = await openTrainingSet(binary({ positives }), context);
      const graded = await openTrainingSet(
        multiLevel({ sources: positives.sources, merge, passagesPerQuery: 1 }),
        context,
      );
      const relevant = (of: typeof set) =>
        Array.from({ length: of.queryCount }, (_, at) => of.group(at, 0).query).map((query) => [
          query,
          [...of.knownPositives(query)].sort(),
        ]);
      expect(relevant(set)).toEqual(relevant(graded));
      set.close();
      graded.close();
    }),
    { numRuns: 20 },
  );
});
