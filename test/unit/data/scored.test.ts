/** The scored view: its labels may be a teacher's logits, and one below 0 makes no positive less of one. */
import { expect, test } from "vitest";
import { openTrainingSet } from "../../../src/data/index.js";
import type { MergeRule, SourceConfig } from "../../../src/experiment/schema.js";
import { newCollection, passages, queries, sourceOf } from "./collection.js";
import { binary, multiLevel, scored, tsv } from "./training-sets.js";

type Triplet = [query: number, passage: number, score: number];

const logits: Triplet[] = [
  [0, 0, 1.5],
  [0, 1, -0.5],
  [1, 1, 2],
  [2, 2, -3],
  [3, 3, 0],
];
const negatives = sourceOf({ qrels: "negatives.tsv" });
const negativeScores: Triplet[] = [0, 1, 2, 3].map((query) => [query, 5, -8]);

function collectionOf(positives: readonly Triplet[], other: readonly Triplet[] = [[0, 4, 1]]) {
  const hints: string[] = [];
  const { context, warnings } = newCollection({
    "corpus.jsonl": passages(6),
    "queries.jsonl": queries(4),
    "positives.tsv": tsv(positives),
    "other.tsv": tsv(other),
    "negatives.tsv": tsv(negativeScores),
  });
  const onWarning = (message: string, hint?: string | null): void => {
    warnings.push(message);
    hints.push(hint ?? "");
  };
  return { context: { ...context, onWarning }, warnings, hints };
}

const viewOf = (options: Partial<SourceConfig> = {}) =>
  scored({ positives: sourceOf({ qrels: "positives.tsv", ...options }), negatives, negativesPerQuery: 1 });

test("every line of its positives is one, with its score as label", async () => {
  const { context, warnings } = collectionOf(logits);
  const set = await openTrainingSet(viewOf(), context);
  expect(warnings).toEqual([]);
  const first = Array.from({ length: set.queryCount }, (_, at) => set.group(at, 0));
  expect(first.map(({ passages: [row], labels }) => [row, ...labels]).slice(1)).toEqual([
    [1, 2, -8],
    [2, -3, -8],
    [3, 0, -8],
  ]);
  expect([...set.knownPositives(0)]).toEqual([0, 1]);
  set.close();
});

test("a minScore of its own holds, and a negative that is a positive below 0 is told and left out", async () => {
  const { context, warnings } = collectionOf([...logits, [1, 5, -1]]);
  const asked = await openTrainingSet(viewOf({ minScore: -1 }), context);
  expect(asked.queryCount).toBe(2);
  asked.close();
  expect(warnings.join("\n")).toContain("negative is a positive of its query as well");
});

test("other positives give another fingerprint, the same ones keep theirs", async () => {
  const above: Triplet[] = logits.map(([query, passage, score]) => [query, passage, Math.abs(score) + 1]);
  const least = { minScore: 2 ** -149 };
  for (const [list, isSame] of [
    [above, true],
    [logits, false],
  ] as const) {
    const { context } = collectionOf(list);
    const now = await openTrainingSet(viewOf(), context);
    // What a run folder holds whose training began when only scores above 0 made positives.
    const then = await openTrainingSet(viewOf(least), context);
    expect(now.fingerprint === then.fingerprint).toBe(isSame);
    now.close();
    then.close();
  }
});

test("grades stay grades: what is judged 0 or -2 is no positive", async () => {
  const { context } = collectionOf([
    [0, 0, 2],
    [0, 1, 0],
    [0, 2, -2],
    [1, 1, 1],
  ]);
  const set = await openTrainingSet(viewOf(), context);
  expect([...set.knownPositives(0)]).toEqual([0]);
  set.close();
});

test.each(["last", "first", "max"] as const)(
  "of several sources none is overruled under %s",
  async (merge: MergeRule) => {
    const { context } = collectionOf(logits, [
      [0, 0, -1.5],
      [0, 4, 3],
    ]);
    const sources = ["positives.tsv", "other.tsv"].map((path) => sourceOf({ qrels: path }));
    const positives = { kind: "combined" as const, merge, sources };
    const set = await openTrainingSet(scored({ positives, negatives, negativesPerQuery: 1 }), context);
    expect([...set.knownPositives(0)]).toEqual([0, 1, 4]);
    set.close();
  },
);

test("other views say from which score on a label makes a positive", async () => {
  const { context, hints } = collectionOf(logits);
  const positives = sourceOf({ qrels: "positives.tsv" });
  (await openTrainingSet(binary({ positives }), context)).close();
  (await openTrainingSet(multiLevel({ sources: [positives], passagesPerQuery: 2 }), context)).close();
  expect(hints).toEqual([
    "Check that positives and negatives judge the same queries, and widen minScore and maxScore; " +
      "without minScore only judgements above 0 are positives.",
    "Check that positives and negatives judge the same queries, and widen minScore and maxScore; " +
      "a group needs a label above 0, as scoreTransform makes it.",
  ]);
});
