/** Measures: what is written on any tool's habit becomes ir_measures' name; what is none is answered with the nearest. */
import { describe, expect, test } from "vitest";
import { canonicalMeasure, MEASURES, nearestMeasure } from "../../../src/experiment/measures.js";

test("every measure's own name stays as it is, with and without option and cut-off", () => {
  for (const { name, isPlain, cutoff, options } of MEASURES) {
    const at = cutoff === null ? [""] : [cutoff === "rank" ? "@20" : "@0.2"];
    const brackets = options.includes("rel") ? ["", "(rel=2)"] : [""];
    for (const end of isPlain ? ["", ...(cutoff === null ? [] : at)] : at) {
      for (const option of brackets) expect(canonicalMeasure(`${name}${option}${end}`)).toBe(`${name}${option}${end}`);
    }
    expect(canonicalMeasure(name)).toBe(isPlain ? name : null);
  }
});

describe("what is no measure", () => {
  test.each([
    ["R", "R@10"],
    ["nDGC@10", "nDCG@10"],
    ["ndgc", "nDCG@10"],
    ["Rprec@5", "Rprec"],
    ["IPrec", "IPrec@0.1"],
    ["IPrec@1.5", "IPrec@0.1"],
    ["IPrec@0.125", "IPrec@0.1"],
    ["P(rle=2)@5", "P(rel=2)@5"],
    ["P(rel=0)@5", "P@5"],
    ["nDCG(rel=2)@10", "nDCG@10"],
    ["P(rel=2,rel=3)@5", "P(rel=3)@5"],
    ["nDCG@0", "nDCG@10"],
    ["P@5.5", "P@10"],
    ["Sucess@1", "Success@1"],
    ["gm-mpa", "gm_map"],
  ])("%s was meant to be %s", (written, meant) => {
    expect(canonicalMeasure(written)).toBeNull();
    expect(nearestMeasure(written)).toBe(meant);
    expect(canonicalMeasure(meant)).toBe(meant);
  });

  test.each(["", "(", "accuracy of it all", "P(rel=2@5", "@10", "constructor@5"])("%j is near to none", (written) => {
    expect(canonicalMeasure(written)).toBeNull();
    expect(nearestMeasure(written)).toBeNull();
  });
});
