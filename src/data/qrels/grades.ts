/** What measures ask of judgements: relevance levels. */
import { QuarryError } from "../../errors.js";
import { formatFloat32 } from "../float32.js";
import type { Qrels } from "../types.js";

/** trec_eval keeps an array over all levels; the same limit as in the Python runtime's measuring/names.py. */
const MAX_GRADE = 10_000;

/** Why measures cannot take a score for a grade, or null. */
export function unfitness(score: number): string | null {
  if (!Number.isInteger(score)) {
    return `the score ${formatFloat32(score)} is no whole number, but measures need relevance levels`;
  }
  return Math.abs(score) > MAX_GRADE ? `grades go up to ${MAX_GRADE}, saw ${formatFloat32(score)}` : null;
}

/**
 * Measures need relevance levels.
 *
 * @param most judgements that are looked at before this gives up.
 * @returns whether all were looked at.
 * @throws QuarryError CONFIG with file and line of the first judgement that is none.
 */
export function refuseUnfitGrades(qrels: Qrels, most = Number.POSITIVE_INFINITY): boolean {
  let seen = 0;
  for (const queryRow of qrels.queryRows) {
    if (seen >= most) return false;
    const { rows, scores } = qrels.judgements(queryRow, 0);
    seen += rows.length;
    const at = scores.findIndex((score) => unfitness(score) !== null);
    if (at === -1) continue;
    const origin = qrels.origin(queryRow, rows[at] as number);
    const where = origin === null ? "qrels" : `${origin.file}:${origin.line}`;
    throw new QuarryError("CONFIG", `${where}: ${unfitness(scores[at] as number)}`, {
      hint: 'Give the source a scoreTransform, e.g. scoreTransform: "round" or { map: { 0.5: 1, 1: 2 } }.',
    });
  }
  return true;
}
