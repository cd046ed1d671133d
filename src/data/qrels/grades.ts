/** What measures ask of judgements: relevance levels. */
import { QuarryError } from "../../errors.js";
import { formatFloat32 } from "../float32.js";
import type { Qrels } from "../types.js";

/**
 * Measures need relevance levels.
 *
 * @param most judgements that are looked at before this gives up.
 * @returns whether all were looked at.
 * @throws QuarryError CONFIG with file and line of the first judgement that is no whole number.
 */
export function refuseRealGrades(qrels: Qrels, most = Number.POSITIVE_INFINITY): boolean {
  let seen = 0;
  for (const queryRow of qrels.queryRows) {
    if (seen >= most) return false;
    const { rows, scores } = qrels.judgements(queryRow, 0);
    seen += rows.length;
    const at = scores.findIndex((score) => !Number.isInteger(score));
    if (at === -1) continue;
    const origin = qrels.origin(queryRow, rows[at] as number);
    const where = origin === null ? "qrels" : `${origin.file}:${origin.line}`;
    throw new QuarryError(
      "CONFIG",
      `${where}: the score ${formatFloat32(scores[at] as number)} is no whole number, but measures need relevance levels`,
      { hint: 'Give the source a scoreTransform, e.g. scoreTransform: "round" or { map: { 0.5: 1, 1: 2 } }.' },
    );
  }
  return true;
}
