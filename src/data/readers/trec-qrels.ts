/** Reads TREC qrels, MS MARCO's among them: query id, a column without meaning, passage id, label. */
import { cutAtWhiteSpace } from "./cells.js";
import { columnReaders } from "./column-records.js";
import type { Format } from "./reader.js";
import { looksLikeScore } from "./records.js";
import { sampleCells } from "./sample.js";

const expected = "four columns: query id, 0, passage id, label";

const { readJudgements, readIds } = columnReaders(
  () => cutAtWhiteSpace,
  { byCount: { 4: [0, 2, 3] }, expected },
  { byCount: { 4: [0] }, expected },
);

export const trecQrels: Format = {
  name: "trec-qrels",
  version: 1,
  options: [],
  matches(sample, role) {
    if (role !== "qrels" && role !== "ids") return false;
    const lines = sampleCells(sample);
    return lines.length > 0 && lines.every((cells) => cells.length === 4 && looksLikeScore(cells[3] as string));
  },
  readJudgements,
  readIds,
};
