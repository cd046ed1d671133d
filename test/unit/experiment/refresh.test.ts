/** The options of refreshed negatives: what does not fit together, and what they leave out. */
import { expect, test } from "vitest";
import { QuarryError } from "../../../src/errors.js";
import { biEncoder, binary, combined, mix, parseExperiment, scored, source } from "../../../src/experiment/define.js";
import { refreshedParts, refreshTargets } from "../../../src/experiment/refresh.js";

const positives = source({ corpus: "corpus.jsonl", qrels: "qrels/train.tsv", minScore: 1 });
const data = binary({ positives, negativesPerQuery: 2 });

const parsed = (train: object) => {
  const config = parseExperiment({ name: "x", model: biEncoder("some/model"), train: { data, ...train } });
  if (config.train === undefined) throw new Error("no training");
  return { ...config.train, config };
};

/** What is said of these options of training. */
function refusal(train: object): string {
  try {
    parsed(train);
  } catch (thrown) {
    if (thrown instanceof QuarryError) return thrown.message;
    throw thrown;
  }
  throw new Error("was accepted");
}

test("negatives need no source of their own when they are mined in training, from the positives' corpus", () => {
  const train = parsed({ refresh: { everySteps: 100, mine: { num_negatives: 6, range_min: 2 } } });
  expect(refreshTargets(train)).toMatchObject([
    { part: 0, path: "train.data", mine: { data: positives, negativesPerQuery: 6, rangeMin: 2, output: "qrels" } },
  ]);
  expect(refusal({})).toContain("asks for 2 negatives, but train.data.negatives is missing");
});

test("of a mix the parts with negatives are refreshed, or those that are named", () => {
  const named = binary({ positives: source({ ...positives, name: "web" }), negativesPerQuery: 2 });
  const others = binary({ positives, negatives: positives, negativesPerQuery: 2 });
  const parts = mix({ parts: [{ data: others }, { data: named }] });
  expect(refreshedParts(parsed({ data: parts, refresh: { everySteps: 10 } }).config)).toEqual([0, 1]);
  expect(refreshedParts(parsed({ data: parts, refresh: { everySteps: 10, parts: ["web"] } }).config)).toEqual([1]);
  // A part's own name, which losses and messages call it by as well.
  const called = mix({
    parts: [
      { name: "forum", data: others },
      // Its own negatives stand in where it is not refreshed.
      { name: "shop", data: binary({ positives: named.positives, negatives: positives, negativesPerQuery: 2 }) },
    ],
  });
  const refreshed = (name: string) =>
    refreshedParts(parsed({ data: called, refresh: { everySteps: 10, parts: [name] } }).config);
  expect(["forum", "shop", "web"].map(refreshed)).toEqual([[0], [1], [1]]);
  expect(refusal({ data: called, refresh: { everySteps: 10, parts: ["wep"] } })).toContain(
    'train.refresh.parts.0: no part of train.data is called "wep"; names are: forum, shop, web',
  );
  const unnamed = mix({ parts: [{ data: others }] });
  expect(refusal({ data: unnamed, refresh: { everySteps: 10, parts: ["web"] } })).toContain(
    "names are: none has one; give the part, or the source of its positives, a name",
  );
  expect(refusal({ data: parts, refresh: { everySteps: 10, mine: { data: positives } } })).toContain(
    "is one data set for several parts",
  );
});

test.each([
  [{ everySteps: 10, switchAfterSteps: 11 }, "train.refresh.switchAfterSteps: is more than everySteps (10)"],
  [{ everySteps: 10, maxStaleness: 20 }, 'train.refresh.maxStaleness: goes with switchAfterSteps: "ready"'],
  [
    { everySteps: 10, switchAfterSteps: "ready", maxStaleness: 9 },
    "train.refresh.maxStaleness: is less than everySteps (10)",
  ],
  [{ everySteps: 30 }, "no step would learn from new negatives: the first ones count after step 60 of 60"],
  [{ everySteps: 10, mine: { negativesPerQuery: 1 } }, "train.refresh.mine.negativesPerQuery: mines 1"],
  [
    { everySteps: 10, mine: { rangeMin: 200 } },
    "train.refresh.mine.rangeMin: skips all 100 retrieved passages (train.refresh.mine.topK)",
  ],
])("%j is refused", (refresh, words) => {
  expect(refusal({ refresh, args: { maxSteps: 60 } })).toContain(words);
});

test("data that cannot be refreshed is refused", () => {
  const refresh = { everySteps: 10 };
  expect(refusal({ data: binary({ positives }), refresh })).toContain("replaces negatives, but train.data has none");
  const several = combined({ sources: [positives, source({ corpus: "more.jsonl" })] });
  expect(refusal({ data: binary({ positives: several, negativesPerQuery: 1 }), refresh })).toContain(
    "train.refresh.mine.data: is missing: the positives of train.data are several sources",
  );
  expect(refusal({ data: binary({ positives, negativesPerQuery: 1, tooFew: "error" }), refresh })).toContain(
    'train.data.tooFew: is "error"',
  );
  expect(refusal({ data: scored({ positives, negativesPerQuery: 1 }), refresh })).toContain(
    "train.refresh.mine.rescore: is missing",
  );
});
