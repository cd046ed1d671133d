/**
 * A cross-encoder looks at what the rules left: likely positives without a label go ("denoising", Qu et al., RocketQA,
 * NAACL 2021), and its scores become the labels that are written.
 */
import type { MineConfig } from "../../experiment/schema.js";
import type { Pair } from "../pair-scorer.js";
import { limitRules, type Rule, sift } from "./rules.js";
import type { Sifted } from "./select.js";
import type { Candidate, MarginTo, ScoreLimits } from "./types.js";

/** What a cross-encoder's scores decide. */
export type RescoreRules = Omit<NonNullable<MineConfig["rescore"]>, "model">;

/** The pairs of a query that are scored: its positives, then its candidates. */
export function pairsOf({ queryRow, positives, candidates }: Sifted, { topK }: RescoreRules): Pair[] {
  const rows = [...positives, ...candidates.slice(0, topK).map(({ row }) => row)];
  return rows.map((passageRow) => ({ queryRow, passageRow }));
}

/** @param scores of pairsOf(), in that order */
export function rescored(sifted: Sifted, scores: Float32Array, rules: RescoreRules, marginTo: MarginTo): Sifted {
  const dropped = { ...sifted.dropped };
  const positiveLabels = [...scores.subarray(0, sifted.positives.length)];
  const asked = scores.length - sifted.positives.length;
  const labelled = sifted.candidates.map((candidate, at): Candidate => {
    if (at >= asked) return { ...candidate, label: Number.NaN };
    const label = scores[sifted.positives.length + at] as number;
    return { ...candidate, label, score: rules.orderBy === "crossEncoder" ? label : candidate.score };
  });
  const notAsked: Rule = ({ label }) => (Number.isNaN(label) ? "notRescored" : null);
  const candidates = sift(labelled, [notAsked, ...rescoreRules(rules, positiveLabels, marginTo)], dropped);
  // The sort is stable: equal scores stay in the retriever's order.
  if (rules.orderBy === "crossEncoder") candidates.sort((one, two) => two.label - one.label);
  return { ...sifted, positiveLabels, candidates, dropped };
}

/** The limits on a cross-encoder's scores. */
export function rescoreRules(limits: ScoreLimits, positiveScores: readonly number[], marginTo: MarginTo): Rule[] {
  const names = {
    maxScore: "rescoreMaxScore",
    minScore: "rescoreMinScore",
    absoluteMargin: "rescoreAbsoluteMargin",
    relativeMargin: "rescoreRelativeMargin",
  } as const;
  // All of them are known, so the bound on unknown ones never counts.
  const positives = { scores: positiveScores, bound: Number.NEGATIVE_INFINITY };
  return limitRules(({ label }) => label, limits, positives, marginTo, names);
}
