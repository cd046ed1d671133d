/** Reads TSV, with and without header: MS MARCO's collection.tsv and queries.tsv, BEIR's qrels, lists of any columns. */
import { type CellCutter, cutAt } from "./cells.js";
import { columnReaders } from "./column-records.js";
import type { Format, SourceFile } from "./reader.js";
import { sampleLines } from "./sample.js";
import { separatorOf } from "./separator.js";

const cutter = (file: SourceFile): CellCutter => cutAt(separatorOf(file, "\t"));

export const tsv: Format = {
  name: "tsv",
  version: 2,
  options: ["fields", "header", "delimiter", "extras"],
  matches(sample, role) {
    if (/\.(tsv|tab)$/.test(sample.name) || (role === "qrels" && sample.name.endsWith(".txt"))) return true;
    const lines = sampleLines(sample);
    return lines.length > 0 && lines.every((line) => line.includes("\t"));
  },
  ...columnReaders(cutter),
};
