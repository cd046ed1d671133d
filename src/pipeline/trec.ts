/** TREC files: ranked output (runs) and judgements, written whole or not at all. */
import { formatFloat32, refuseUnfitGrades } from "../data/index.js";
import type { Qrels, TextTable } from "../data/types.js";
import { writeLines } from "./line-file.js";
import type { Ranking } from "./ranking.js";
import type { TopK } from "./top-k.js";

/** What ids are read from. */
type Tables = { readonly queries: TextTable; readonly passages: Pick<TextTable, "qualifiedId"> };

/** Writes a run: `query Q0 passage rank score tag`, queries in the order given, passages best first. */
export function writeRun(
  path: string,
  { topK, rows, scores }: TopK,
  queryRows: Int32Array,
  tables: Tables,
  tag: string,
): Promise<void> {
  const rankingOf = (_queryRow: number, place: number): Ranking => {
    const [start, end] = [place * topK, (place + 1) * topK];
    return { rows: rows.subarray(start, end), scores: scores.subarray(start, end) };
  };
  return writeRankings(path, rankingOf, queryRows, tables, tag);
}

/** As writeRun(), from the ranking of each query; -1 ends one. */
export async function writeRankings(
  path: string,
  rankingOf: (queryRow: number, place: number) => Ranking,
  queryRows: Int32Array,
  tables: Tables,
  tag: string,
): Promise<void> {
  function* lines(): Generator<string> {
    for (const [place, queryRow] of queryRows.entries()) {
      const { rows, scores } = rankingOf(queryRow, place);
      const queryId = tables.queries.id(queryRow);
      for (let rank = 0; rank < rows.length; rank++) {
        const row = rows[rank] as number;
        if (row < 0) break;
        const score = formatFloat32(scores[rank] as number);
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
