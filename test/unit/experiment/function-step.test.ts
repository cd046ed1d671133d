/** Functions in the algebra: known by name, version and source, and never lost on the way through the configuration. */
import { expect, test } from "vitest";
import { biEncoder, parseExperiment, source } from "../../../src/experiment/define.js";
import { isStep, step, type Triplet } from "../../../src/experiment/function-step.js";

const long = step({ name: "long", version: 2, fn: ({ passage }: Triplet) => passage.text.length > 200 });

test("a step is written down as its name, version and the hash of its source", () => {
  expect(JSON.parse(JSON.stringify(long))).toEqual({
    kind: "step",
    name: "long",
    version: "2",
    sourceHash: expect.stringMatching(/^[0-9a-f]{16}$/) as string,
  });
  expect(step({ name: "long", version: 2, fn: () => true }).sourceHash).not.toBe(long.sourceHash);
});

test("a step comes through the checks of the experiment as it is", () => {
  const data = source({ corpus: "c.jsonl", qrels: "q.tsv", filter: long });
  const config = parseExperiment({ name: "x", model: biEncoder("a/b"), evaluate: { data } });
  expect(config.evaluate?.data).toHaveProperty("filter", long);
  expect(isStep(long)).toBe(true);
});

test("what only looks like a step is none", () => {
  expect(isStep({ ...long })).toBe(false);
  expect(isStep(() => true)).toBe(false);
  expect(() => step({ name: "", fn: () => true })).toThrow("name must be text");
  expect(() => step({ name: "x", fn: 1 as never })).toThrow("fn must be a function");
});
