/** What mining reports of scores, however many negatives it mines. */
import { expect, test } from "vitest";
import { ReportBuilder } from "../../../../src/pipeline/mining/report.js";
import { DISTINCT, list, PLAIN_RULES, query, selectNegatives } from "./cases.js";

/** V8 ends the process where an array of numbers is to grow beyond some 112 million; here it is fewer, and an error. */
function withArraysUpTo(entries: number, work: () => void): void {
  // No spy: it would note the calls in an array.
  const { push } = Array.prototype;
  const bounded = function (this: unknown[], ...items: unknown[]): number {
    if (this.length >= entries) throw new RangeError("Invalid array length");
    return push.apply(this, items);
  };
  Object.assign(Array.prototype, { push: bounded });
  try {
    work();
  } finally {
    Object.assign(Array.prototype, { push });
  }
}

test("the scores of very many negatives are summed up like those of a few", () => {
  const report = new ReportBuilder(10, ["base"]);
  const selection = selectNegatives(query([list([1, 0.75], [2, 0.5], [3, 0.25])], [1]), PLAIN_RULES, DISTINCT);
  const queries = 20_000;
  withArraysUpTo(10_000, () => {
    for (let at = 0; at < queries; at += 1) {
      report.add(
        { ...selection, negatives: selection.negatives.map((found) => ({ ...found, label: found.label + (at % 2) })) },
        null,
      );
    }
  });
  const { positives, negatives, differences } = report.finish().scores;
  expect(positives).toMatchObject({ count: queries, mean: 0.75, standardDeviation: 0 });
  expect(negatives).toEqual({
    count: 2 * queries,
    mean: 0.875,
    standardDeviation: Math.sqrt((0.375 ** 2 + 0.625 ** 2) / 2),
    min: 0.25,
    quarter: 0.4375,
    median: 0.875,
    threeQuarters: 1.3125,
    max: 1.5,
  });
  expect(differences).toMatchObject({ count: 2 * queries, min: -0.75, median: -0.125, max: 0.5 });
  expect(report.finish().scores.negatives).toEqual(negatives);
});
