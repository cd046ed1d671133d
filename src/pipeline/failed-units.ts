/** The error of a step that could not do all of its work. */
import type { TextTable } from "../data/types.js";
import { QuarryError } from "../errors.js";
import type { FailedUnit } from "../pool/types.js";

/** Ends a step that could not do all of its work; what was finished is durable, so a second run does the rest only. */
export function throwFailed(failed: readonly FailedUnit[], table: TextTable): void {
  const first = failed[0];
  if (first === undefined) return;
  const named = [...first.rows].slice(0, 10).map((row) => {
    const { file, line } = table.origin(row);
    return `${table.id(row)} (${file}:${line})`;
  });
  const more = first.rows.length > named.length ? ` and ${first.rows.length - named.length} more` : "";
  throw new QuarryError(
    first.code,
    `${failed.length} unit${failed.length === 1 ? "" : "s"} could not be done; ${first.unit}: ${first.message}\n  texts: ${named.join(", ")}${more}`,
    { hint: "Mend or remove these texts, then run the same command again; finished passages are not done again." },
  );
}
