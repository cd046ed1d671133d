/** Names of measures: whatever spelling people bring along becomes the one of ir_measures. */
import { nearest } from "./nearest.js";

/** A measure, and whether it may stand with and without a cut-off; the same as the Python runtime's measure.py. */
interface Measure {
  readonly name: string;
  readonly cutoff: "needed" | "optional" | "none";
}

const nDCG: Measure = { name: "nDCG", cutoff: "optional" };
const RR: Measure = { name: "RR", cutoff: "optional" };
const AP: Measure = { name: "AP", cutoff: "optional" };
const R: Measure = { name: "R", cutoff: "needed" };
const P: Measure = { name: "P", cutoff: "needed" };
const Success: Measure = { name: "Success", cutoff: "needed" };

/** Spellings without case, dashes and underscores → the measure. */
const MEASURES: Readonly<Record<string, Measure>> = {
  ndcg: nDCG,
  ndcgcut: nDCG,
  rr: RR,
  mrr: RR,
  reciprank: RR,
  ap: AP,
  map: AP,
  mapcut: AP,
  r: R,
  recall: R,
  p: P,
  precision: P,
  success: Success,
  hit: Success,
  hits: Success,
  hitrate: Success,
  rprec: { name: "Rprec", cutoff: "none" },
  bpref: { name: "Bpref", cutoff: "none" },
  infap: { name: "infAP", cutoff: "none" },
  numret: { name: "NumRet", cutoff: "none" },
  numrel: { name: "NumRel", cutoff: "none" },
};

/** What a measure's name may look like, for messages. */
export const MEASURE_EXAMPLES = "nDCG@10, RR@10, R@100, AP@1000, P@5 or Success@1";

/**
 * The measure's name as ir_measures writes it, or null when there is no such measure.
 *
 * @example
 * canonicalMeasure("ndcg_cut_10"); // "nDCG@10"
 * canonicalMeasure("recall@100"); // "R@100"
 */
export function canonicalMeasure(written: string): string | null {
  const { key, cutoff } = split(written);
  const measure = Object.hasOwn(MEASURES, key) ? MEASURES[key] : undefined;
  if (measure === undefined) return null;
  if (cutoff === null) return measure.cutoff === "needed" ? null : measure.name;
  return measure.cutoff === "none" ? null : `${measure.name}@${cutoff}`;
}

/** The measure that an unknown one was probably meant to be, or null. */
export function nearestMeasure(written: string): string | null {
  const { key, cutoff } = split(written);
  const near = Object.hasOwn(MEASURES, key) ? key : key.length > 1 ? nearest(key, Object.keys(MEASURES)) : null;
  const measure = near === null ? undefined : MEASURES[near];
  if (measure === undefined) return null;
  return measure.cutoff === "none" ? measure.name : `${measure.name}@${cutoff ?? 10}`;
}

function split(written: string): { key: string; cutoff: string | null } {
  const match = /^(.*?)[\s@_.-]*(\d*)$/.exec(written.trim());
  const cutoff = match?.[2] ?? "";
  // A cut-off of 0 or with leading zeros is none that exists, so the whole text is taken as the unknown name.
  const isCutoff = /^[1-9]\d*$/.test(cutoff);
  const name = cutoff === "" || isCutoff ? (match?.[1] ?? written) : written;
  return { key: name.toLowerCase().replace(/[-_]/g, ""), cutoff: isCutoff ? cutoff : null };
}
