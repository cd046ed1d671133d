/** Reads TREC runs: query id, Q0, passage id, rank, score, tag; the run's score is the judgement's. */
import { dataError } from "../failures.js";
import { cellText, cutAtWhiteSpace } from "./cells.js";
import { columnReaders } from "./column-records.js";
import { InputFile } from "./input.js";
import type { Format } from "./reader.js";
import { looksLikeScore, readScore } from "./records.js";
import { sampleCells } from "./sample.js";

const expected = "six columns: query id, Q0, passage id, rank, score, tag";

const { readJudgements, readIds } = columnReaders(
  () => cutAtWhiteSpace,
  { byCount: { 6: [0, 2, 4] }, expected },
  { byCount: { 6: [0] }, expected },
);

export const trecRun: Format = {
  name: "trec-run",
  version: 1,
  options: [],
  matches(sample, role) {
    if (role !== "qrels" && role !== "ids") return false;
    const lines = sampleCells(sample);
    return (
      lines.length > 0 &&
      lines.every(
        (cells) => cells.length === 6 && /^\d+$/.test(cells[3] as string) && looksLikeScore(cells[4] as string),
      )
    );
  },
  readJudgements,
  readIds,
};

/** A line of a run. */
export interface RunLine {
  readonly queryId: string;
  readonly passageId: string;
  readonly score: number;
  readonly line: number;
}

/**
 * Reads a run that is known to be one: no line is a header, whatever its ids are.
 *
 * @throws QuarryError DATA with file and line.
 */
export function readRun(path: string, onLine: (result: RunLine) => void): Promise<void> {
  return cutAtWhiteSpace(new InputFile(path), (cells, line) => {
    if (cells.count === 0) return;
    const score =
      cells.count < 6 ? Number.NaN : readScore(cells.bytes, cells.starts[4] as number, cells.ends[4] as number);
    if (Number.isNaN(score)) throw dataError(path, line, "no line of a TREC run.", `Expected: ${expected}.`);
    onLine({ queryId: cellText(cells, 0), passageId: cellText(cells, 2), score, line });
  });
}
