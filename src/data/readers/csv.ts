/** Reads CSV by RFC 4180, with and without header, with any separator. */
import type { CellCutter } from "./cells.js";
import { columnReaders } from "./column-records.js";
import { looksLikeHeader } from "./columns.js";
import { cutCsv } from "./csv-cells.js";
import type { Format, SourceFile } from "./reader.js";
import { sampleLines } from "./sample.js";
import { separatorOf } from "./separator.js";

const cutter = (file: SourceFile): CellCutter => cutCsv(separatorOf(file, ","));

export const csv: Format = {
  name: "csv",
  version: 1,
  options: ["fields", "header", "delimiter", "extras"],
  matches(sample, role, file) {
    if (file.delimiter !== undefined) return file.delimiter !== "\t";
    if (sample.name.endsWith(".csv")) return true;
    if (sample.name.endsWith(".tsv")) return false;
    const cells = (sampleLines(sample)[0] ?? "").split(",").map((cell) => cell.replace(/^"|"$/g, ""));
    return cells.length > 1 && looksLikeHeader(cells, role);
  },
  ...columnReaders(cutter),
};
