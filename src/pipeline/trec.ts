/** TREC files: ranked output (runs) and judgements, written whole or not at all. */
import { formatFloat32, refuseUnfitGrades } from "../data/index.js";
import type { Qrels, TextTable } from "../data/types.js";
import { writeLines } from "./line-file.js";
import type { TopK } from "./top-k.js";

/** Writes a run: `query Q0 passage rank score tag`, queries in the order given, passages best first. */
export async function writeRun(
  path: string,
  ranked: TopK,
  queryRows: Int32Array,
  tables: { readonly queries: TextTable; readonly passages: Pick<TextTable, "qualifiedId"> },
  tag: string,
): Promise<void> {
  function* lines(): Generator<string> {
    for (let query = 0; query < ranked.queryCount; query++) {
      const queryId = tables.queries.id(queryRows[query] as number);
      for (let rank = 0; rank < ranked.topK; rank++) {
        const row = ranked.rows[query * ranked.topK + rank] as number;
        if (row < 0) break;
        const score = formatFloat32(ranked.scores[query * ranked.topK + rank] as number);
        yield `${queryId} Q0 ${tables.passages.qualifiedId(row)} ${rank + 1} ${score} ${tag}`;
      }
    }
  }
  await writeLines(path, (file) => file.write(lines()));
}

/**
 * Writes judgements as trec_eval reads them.
 *
 * @throws QuarryError CONFIG for scores that are no grades.
 */
export async function writeQrels(
  path: string,
  qrels: Qrels,
  tables: { readonly queries: TextTable; readonly passages: TextTable },
): Promise<void> {
  refuseUnfitGrades(qrels);
  function* lines(): Generator<string> {
    for (const queryRow of qrels.queryRows) {
      const queryId = tables.queries.id(queryRow);
      const { rows, scores } = qrels.judgements(queryRow, 0);
      for (let at = 0; at < rows.length; at++)
        yield `${queryId} 0 ${tables.passages.qualifiedId(rows[at] as number)} ${scores[at]}`;
    }
  }
  await writeLines(path, (file) => file.write(lines()));
}
