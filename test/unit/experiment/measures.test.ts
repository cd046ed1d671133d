/** Measures: what is written on any tool's habit becomes ir_measures' name; what is none is answered with the nearest. */
import { describe, expect, test } from "vitest";
import { canonicalMeasure, MEASURES, measuresOf, nearestMeasure } from "../../../src/experiment/measures.js";

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

test.each([
  ["iprec_at_recall_0.10", "IPrec@0.1"],
  ["IPrec@.5", "IPrec@0.5"],
  ["Rprec_mult@.25", "Rprec_mult@0.25"],
  ["ndcg_cut.10", "nDCG@10"],
  ["precision(rel=2)@5", "P(rel=2)@5"],
  ["rr(judged_only=true, rel=2)@10", "RR(rel=2,judged_only=True)@10"],
  ['ndcg(dcg="exp-log2")@10', "nDCG(dcg='exp-log2')@10"],
  ["set_relative_P", "SetP(relative=True)"],
  ["set_F(beta=2)", "SetF(beta=2)"],
  ["num_rel_ret", "NumRelRet"],
  ["judged@10", "Judged@10"],
])("%s is %s", (written, ours) => {
  expect(canonicalMeasure(written)).toBe(ours);
});

test("trec_eval's sets hold measures by their own names, and a wrong name is told with the nearest", () => {
  const all = measuresOf(["all_trec"]);
  expect(all).toEqual(all.map(canonicalMeasure));
  expect(all).toEqual(expect.arrayContaining(measuresOf(["official"])));
  expect(measuresOf(["mrr@10", "RR@10"])).toEqual(["RR@10"]);
  expect(() => measuresOf(["nDGC@10"])).toThrow("did you mean nDCG@10?");
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
