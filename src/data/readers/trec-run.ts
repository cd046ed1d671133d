/** Reads TREC runs: query id, Q0, passage id, rank, score, tag; the run's score is the judgement's. */
import { cutAtWhiteSpace } from "./cells.js";
import { columnReaders } from "./column-records.js";
import type { Format } from "./reader.js";
import { looksLikeScore } from "./records.js";
import { sampleLines } from "./sample.js";

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
    const lines = sampleLines(sample).map((line) => line.trim().split(/\s+/));
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
