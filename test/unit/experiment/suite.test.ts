/** Several data sets as one evaluation: what suite({ … }) takes and how a wrong one is refused. */
import { describe, expect, test } from "vitest";
import { biEncoder, defineExperiment, source, suite } from "../../../src/experiment/define.js";

const model = biEncoder("some/model");
const judged = source({ corpus: "corpus.jsonl", qrels: "qrels/test.tsv" });

describe("a suite", () => {
  const of = (sets: Parameters<typeof suite>[0]) => ({ name: "x", model, evaluate: { data: suite(sets) } });

  test("names its data sets, each alone or with measures of its own", () => {
    const { config } = defineExperiment(of({ a: judged, b: { data: judged, measures: ["map@100", "gm_map"] } }));
    expect(config.evaluate?.data).toMatchObject({
      kind: "suite",
      sets: [
        { name: "a", data: { kind: "source" } },
        { name: "b", data: { kind: "source" }, measures: ["AP@100", "gm_map"] },
      ],
    });
  });

  test.each([
    [of({}), /evaluate\.data\.sets: expected a list with at least one entry/],
    [of({ "../up": judged }), /evaluate\.data\.sets\.0\.name: letters, digits/],
    [of({ a: judged, A: judged }), /sets\.1\.name: A is the name of another data set already/],
    [of({ average: judged }), /sets\.0\.name: average is what the table calls/],
    [of({ a: { data: judged, measures: ["nDCG@1000"] } }), /evaluate\.topK: keeps 100 passages, but nDCG@1000/],
    [
      of({ a: { data: judged, measures: ["nDGC@10"] } }),
      /sets\.0\.measures\.0: unknown measure .* did you mean nDCG@10/,
    ],
    [
      of({ a: source({ corpus: "c" }) }),
      /evaluate\.data\.sets\.0\.data\.qrels: is missing; evaluation needs judgements/,
    ],
  ])("is refused with the place of what is wrong", (input, message) => {
    expect(() => defineExperiment(input)).toThrow(message);
  });
});
