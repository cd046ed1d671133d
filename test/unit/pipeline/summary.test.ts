/** The table at the end of a run: what training tells of itself stands below the measures, or alone. */
import { expect, test } from "vitest";
import type { EvaluateResult } from "../../../src/pipeline/evaluation-result.js";
import { summarise } from "../../../src/pipeline/summary.js";

const trained = { checkpoint: "train/checkpoint-8", steps: 8, stepsPerSecond: 2.5, waitShare: 0.1234 };
const nothing = { evaluations: new Map<string, EvaluateResult>(), train: null, throughputs: [], written: [] };

test("a training alone has its rate and the share in which its slowest rank waited", () => {
  expect(summarise({ ...nothing, train: trained })).toEqual({
    type: "summary",
    columns: ["", "value"],
    rows: [
      ["steps/s", "2.50"],
      ["waits", "12.3 %"],
    ],
  });
});

test("a share of 0 is shown, for it says that the ranks never waited", () => {
  expect(summarise({ ...nothing, train: { ...trained, waitShare: 0 } })).toMatchObject({
    rows: [
      ["steps/s", "2.50"],
      ["waits", "0.0 %"],
    ],
  });
});

test("beside measures of two models the share stands in the last column", () => {
  const evaluated = (value: number): EvaluateResult => ({ values: { "nDCG@10": value }, sets: [] });
  const evaluations = new Map([
    ["base", evaluated(0.25)],
    ["checkpoint-8", evaluated(0.5)],
  ]);
  expect(summarise({ ...nothing, evaluations, train: trained })).toMatchObject({
    columns: ["", "base", "checkpoint-8", "gain"],
    rows: [
      ["nDCG@10", "0.2500", "0.5000", "+0.2500"],
      ["steps/s", "", "", "2.50"],
      ["waits", "", "", "12.3 %"],
    ],
  });
});

test("where nothing was left to train there is nothing to show", () => {
  expect(summarise({ ...nothing, train: { ...trained, stepsPerSecond: null, waitShare: null } })).toBe(null);
});
