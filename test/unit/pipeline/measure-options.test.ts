/** Scripts that measure and compare runs are told of an option that cannot be, before any process starts. */
import { expect, test } from "vitest";
import { type CompareOptions, compareRuns, type MeasureOptions, measureRun } from "../../../src/index.js";

const measured: readonly (readonly [MeasureOptions, string])[] = [
  [{ depth: 0 }, "depth: expected a whole number from 1 on, saw the number 0"],
  [{ depth: 1.5 }, "depth: expected a whole number from 1 on, saw the number 1.5"],
  [{ relevanceLevel: 0 }, "relevanceLevel: expected a whole number from 1 on, saw the number 0"],
  [{ intervalsSeed: -1 }, "intervalsSeed: expected a whole number from 0 on, saw the number -1"],
  [{ missing: "skp" as "skip" }, 'missing: expected "zero" or "skip", saw the text "skp"'],
];
test.each(measured)("measureRun refuses %j", async (options, message) => {
  await expect(measureRun("no.run", options)).rejects.toMatchObject({ code: "CONFIG", message });
});

const compared: readonly (readonly [CompareOptions, string])[] = [
  [{ seed: -1 }, "seed: expected a whole number from 0 on, saw the number -1"],
  [{ samples: 0 }, "samples: expected a whole number from 1 on, saw the number 0"],
  [{ top: -1 }, "top: expected a whole number from 0 on, saw the number -1"],
  [{ relevanceLevel: 1.5 }, "relevanceLevel: expected a whole number from 1 on, saw the number 1.5"],
  [{ missing: "none" as "zero" }, 'missing: expected "zero" or "skip", saw the text "none"'],
];
test.each(compared)("compareRuns refuses %j", async (options, message) => {
  await expect(compareRuns(["no.run", "no.run"], options)).rejects.toMatchObject({ code: "CONFIG", message });
});
