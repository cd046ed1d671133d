/** Which candidates become negatives: rule by rule, and all rules together against a slow reference. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { MiningRules, QueryCase, TextIdentity } from "../../../../src/pipeline/mining/types.js";
import { anyCase, DISTINCT, list, PLAIN_RULES, query, selectNegatives, textsOf } from "./cases.js";
import { slowNegatives } from "./slow.js";

function rowsOf(given: QueryCase, rules: Partial<MiningRules> = {}, texts: TextIdentity = DISTINCT): number[] {
  return selectNegatives(given, { ...PLAIN_RULES, ...rules }, texts).negatives.map(({ row }) => row);
}

const five = list([10, 0.875], [11, 0.75], [12, 0.625], [13, 0.5], [14, 0.375]);

test("any rules together give what a slow reference gives, and every candidate is accounted for", () => {
  fc.assert(
    fc.property(anyCase, ({ query: given, rules, texts }) => {
      const fast = selectNegatives(given, rules, texts);
      const slow = slowNegatives(given, rules, texts);
      expect(fast.candidates.map(({ row }) => row)).toEqual(slow.left);
      expect(fast.negatives.map(({ row }) => row)).toEqual(slow.negatives);
      const dropped = Object.values(fast.dropped).reduce((sum, count) => sum + count, 0);
      expect(dropped + fast.candidates.length).toBe(fast.candidateCount);
      // Called again, or after other queries, it says the same.
      expect(selectNegatives(given, rules, texts)).toEqual(fast);
    }),
    { numRuns: 1_000 },
  );
});

describe("what passages are", () => {
  test("judged passages are no negatives; with positives alone excluded, those judged irrelevant are", () => {
    const given = query([five], [10], [12]);
    expect(rowsOf(given)).toEqual([11, 13, 14]);
    expect(rowsOf(given, { exclude: "positives" })).toEqual([11, 12, 13, 14]);
    expect(rowsOf(given, { exclude: "none" })).toEqual([10, 11, 12, 13, 14]);
  });

  test("copies of the query, of a positive, even one that was not retrieved, and of a candidate before are dropped", () => {
    const texts = textsOf(
      (row) => ({ 10: "query", 11: "relevant", 12: "once", 13: "once", 99: "relevant" })[row] ?? `${row}`,
    );
    const given = query([five], [99]);
    const { negatives, dropped } = selectNegatives(given, PLAIN_RULES, texts);
    expect(negatives.map(({ row }) => row)).toEqual([12, 14]);
    expect(dropped).toEqual({ queryText: 1, positiveText: 1, repeatedText: 1 });
    expect(rowsOf(given, { excludeIdenticalTexts: false }, texts)).toEqual([10, 11, 12, 13, 14]);
  });

  test("the passage with the query's own id goes when asked for", () => {
    const given = query([list([3, 0.9], [4, 0.8])]);
    expect(rowsOf(given)).toEqual([3, 4]);
    expect(rowsOf(given, { excludeSameId: true })).toEqual([4]);
  });
});

test("positives have the scores of the one retriever; several have no scale in common", () => {
  const labelsOf = (given: QueryCase) => selectNegatives(given, PLAIN_RULES, DISTINCT).positiveLabels;
  expect(labelsOf(query([five], [10, 12]))).toEqual([0.875, 0.625]);
  expect(labelsOf(query([five, list([12, 30], [10, 20])], [10, 12]))).toEqual([]);
});

describe("ranks", () => {
  test("count all retrieved passages, the unjudged ones, or those that every rule left", () => {
    const given = query([five], [11]);
    const rules = { rangeMin: 1, rangeMax: 3, limits: [{ maxScore: 0.85 }] };
    expect(rowsOf(given, { ...rules, ranksOver: "retrieved" })).toEqual([12]);
    expect(rowsOf(given, { ...rules, ranksOver: "unjudged" })).toEqual([12, 13]);
    expect(rowsOf(given, { ...rules, ranksOver: "kept" })).toEqual([13, 14]);
  });
});

describe("limits", () => {
  const tenths = list([10, 0.9], [11, 0.8], [12, 0.7], [13, 0.3], [14, 0.05]);

  test("keep what lies exactly at them, though 0.7 is no float32", () => {
    expect(rowsOf(query([tenths]), { limits: [{ minScore: 0.7 }] })).toEqual([10, 11, 12]);
    expect(rowsOf(query([tenths]), { limits: [{ maxScore: 0.7 }] })).toEqual([12, 13, 14]);
    expect(rowsOf(query([tenths]), { limits: [{ maxScore: 0.3 }] })).toEqual([13, 14]);
  });

  test("and so do margins, whatever the size of the two scores", () => {
    const margin = (
      limits: MiningRules["limits"][number],
      positives = [10],
      marginTo: MiningRules["marginTo"] = "worst",
    ) => rowsOf(query([tenths], positives), { limits: [limits], marginTo });
    expect(margin({ absoluteMargin: 0.2 })).toEqual([12, 13, 14]);
    expect(margin({ absoluteMargin: 0.85 })).toEqual([14]);
    expect(margin({ absoluteMargin: 0.1 }, [10, 12], "mean")).toEqual([13, 14]);
    expect(margin({ absoluteMargin: 0.75 }, [10, 12], "mean")).toEqual([14]);
    expect(margin({ relativeMargin: 2 / 3 })).toEqual([13, 14]);
  });
});

describe("margins", () => {
  const given = query([five], [10, 12]);

  test("are measured from the worst positive, the best, the mean, or the k-th best", () => {
    const from = (marginTo: MiningRules["marginTo"]) => rowsOf(given, { marginTo, limits: [{ absoluteMargin: 0 }] });
    expect(from("worst")).toEqual([13, 14]);
    expect(from("best")).toEqual([11, 13, 14]);
    expect(from("mean")).toEqual([11, 13, 14]);
    expect([from(1), from(2), from(7)]).toEqual([from("best"), from("worst"), from("worst")]);
  });

  test("a relative margin is a share of the magnitude, so it lies below negative scores as well", () => {
    const negative = query([list([10, -0.5], [11, -0.51], [12, -0.56])], [10]);
    expect(rowsOf(negative, { limits: [{ relativeMargin: 0.1 }] })).toEqual([12]);
    expect(rowsOf(query([five], [10]), { limits: [{ relativeMargin: 0.2 }] })).toEqual([12, 13, 14]);
  });

  test("a positive outside of the list is at most its last score, so nothing of the list lies below it", () => {
    const far = query([five], [10, 99]);
    const { negatives, dropped } = selectNegatives(far, { ...PLAIN_RULES, limits: [{ absoluteMargin: 0 }] }, DISTINCT);
    expect(negatives).toEqual([]);
    expect(dropped).toEqual({ annotated: 1, unknownPositive: 4 });
    expect(rowsOf(far, { marginTo: "best", limits: [{ absoluteMargin: 0.15 }] })).toEqual([12, 13, 14]);
    expect(rowsOf(far, { marginTo: "mean", limits: [{ absoluteMargin: 0 }] })).toEqual([]);
  });

  test("a tracked score of such a positive counts", () => {
    const tracked = query([{ ...five, tracked: new Map([[99, 0.125]]) }], [10, 99]);
    expect(rowsOf(tracked, { marginTo: "mean", limits: [{ absoluteMargin: 0 }] })).toEqual([13, 14]);
    expect(rowsOf(tracked, { limits: [{ absoluteMargin: 0 }] })).toEqual([]);
  });

  test("without positives they do not apply, unless the first passage stands in and is no negative itself", () => {
    const limits = [{ absoluteMargin: 0.25 }];
    expect(rowsOf(query([five]), { limits })).toEqual([10, 11, 12, 13, 14]);
    expect(rowsOf(query([five]), { limits, standIn: "top" })).toEqual([12, 13, 14]);
  });
});
