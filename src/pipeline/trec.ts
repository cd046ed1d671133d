/** TREC files: ranked output (runs) and judgements, written whole or not at all. */
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Qrels, TextTable } from "../data/types.js";
import { QuarryError } from "../errors.js";
import { diskError, syncFolder, temporaryName } from "../rundir/durable.js";
import type { TopK } from "./top-k.js";

const FLUSH_CHARS = 1 << 20;

/**
 * The shortest decimal that reads back as the same float32: trec_eval compares scores as float32, so a run file written
 * this way is scored exactly like the numbers in memory.
 */
export function formatFloat32(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const short = value.toPrecision(digits);
    if (Math.fround(Number(short)) === value) return String(Number(short));
  }
  return String(Number(value.toPrecision(9)));
}

async function writeLines(path: string, lines: Iterable<string>): Promise<void> {
  const temporary = temporaryName(path);
  try {
    const file = await open(temporary, "w");
    try {
      let buffer = "";
      for (const line of lines) {
        buffer += `${line}\n`;
        if (buffer.length < FLUSH_CHARS) continue;
        // Not file.write: it may take only a part on a disk that is nearly full.
        await file.appendFile(buffer);
        buffer = "";
      }
      await file.appendFile(buffer);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw diskError(thrown, path);
  }
}

/** Writes a run: `query Q0 passage rank score tag`, queries in the order given, passages best first. */
export async function writeRun(
  path: string,
  ranked: TopK,
  queryRows: Int32Array,
  tables: { readonly queries: TextTable; readonly passages: TextTable },
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
  await writeLines(path, lines());
}

/**
 * Measures need relevance levels.
 *
 * @throws QuarryError CONFIG with file and line of the first judgement that is no whole number.
 */
export function refuseRealGrades(qrels: Qrels): void {
  for (const queryRow of qrels.queryRows) {
    const { rows, scores } = qrels.judgements(queryRow, 0);
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
}

/**
 * Writes judgements as trec_eval reads them.
 *
 * @throws QuarryError CONFIG for scores that are no whole numbers.
 */
export async function writeQrels(
  path: string,
  qrels: Qrels,
  tables: { readonly queries: TextTable; readonly passages: TextTable },
): Promise<void> {
  refuseRealGrades(qrels);
  function* lines(): Generator<string> {
    for (const queryRow of qrels.queryRows) {
      const queryId = tables.queries.id(queryRow);
      const { rows, scores } = qrels.judgements(queryRow, 0);
      for (let at = 0; at < rows.length; at++)
        yield `${queryId} 0 ${tables.passages.qualifiedId(rows[at] as number)} ${scores[at]}`;
    }
  }
  await writeLines(path, lines());
}
