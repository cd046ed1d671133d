/** Faults: all are counted, ten are placed, and the policy decides what happens. */
import { describe, expect, test } from "vitest";
import {
  DEFAULT_VALIDATION,
  describeFinding,
  type Finding,
  FindingCounter,
  judge,
  named,
} from "../../../src/data/findings.js";
import type { DataContext } from "../../../src/data/types.js";
import { validationSchema } from "../../../src/experiment/data-schema.js";
import type { Policy } from "../../../src/experiment/schema.js";

const duplicate: Finding = {
  kind: "duplicateIds",
  subject: "corpus.jsonl",
  words: ["record repeats an id", "records repeat an id"],
  count: 1234,
  examples: [{ place: "corpus.jsonl:7", detail: '"d1" (first in line 2)' }],
  hint: "Give each record an id of its own.",
};

function contextWith(policy: Policy, options: Partial<DataContext> = {}): { context: DataContext; told: string[] } {
  const told: string[] = [];
  const context: DataContext = {
    baseDir: "/",
    cacheDir: "/",
    seed: 1,
    validation: { ...DEFAULT_VALIDATION, duplicateIds: policy },
    onWarning: (message) => told.push(`warning: ${message}`),
    onFinding: ({ kind }, found) => told.push(`${kind} ${found}`),
    ...options,
  };
  return { context, told };
}

test("the policies that hold without an experiment are the schema's defaults", () => {
  expect(DEFAULT_VALIDATION).toEqual(validationSchema.parse({}));
});

describe("a fault", () => {
  test("is counted in full and placed ten times", () => {
    const counter = new FindingCounter("badLines", ["line", "lines"]);
    for (let line = 1; line <= 25; line += 1) counter.add(line % 2, line, () => `line ${line}`);
    const stored = counter.stored();
    expect(stored).toMatchObject({ kind: "badLines", count: 25 });
    expect(stored?.examples.map(({ line }) => line)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const told = stored === null ? null : named(stored, ["a.tsv", "b.tsv"], "Mend them.");
    expect(told?.subject).toBe("a.tsv, b.tsv");
    expect(told?.examples.slice(0, 2).map(({ place }) => place)).toEqual(["b.tsv:1", "a.tsv:2"]);
  });

  test("that never happened is none", () => {
    expect(new FindingCounter("badLines", ["line", "lines"]).stored()).toBeNull();
    const { context, told } = contextWith("error");
    judge(context, { ...duplicate, count: 0 });
    expect(told).toEqual([]);
  });

  test("is one message with its count and its places", () => {
    expect(describeFinding(duplicate)).toBe(
      'corpus.jsonl: 1,234 records repeat an id; the first 1:\n  corpus.jsonl:7: "d1" (first in line 2)',
    );
  });

  test("stops under error with the ways out", () => {
    const { context, told } = contextWith("error");
    expect(() => judge(context, duplicate)).toThrow(
      expect.objectContaining({
        code: "DATA",
        message: describeFinding(duplicate),
        hint: 'Give each record an id of its own. Or set validation.duplicateIds to "warn" or "drop".',
      }),
    );
    expect(told).toEqual(["duplicateIds error"]);
  });

  test("is told once under warn, however often the data is opened", () => {
    const { context, told } = contextWith("warn");
    judge(context, duplicate);
    judge(context, duplicate);
    expect(told).toEqual(["duplicateIds warn", `warning: ${describeFinding(duplicate)}`, "duplicateIds warn"]);
  });

  test("is silent under drop, and stops no mere check", () => {
    const dropped = contextWith("drop");
    judge(dropped.context, duplicate);
    expect(dropped.told).toEqual(["duplicateIds drop"]);
    const checked = contextWith("error", { isCheck: true });
    judge(checked.context, duplicate);
    expect(checked.told).toEqual(["duplicateIds error"]);
  });
});
