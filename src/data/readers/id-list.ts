/** Reads a plain list of query ids, one a line. */
import { wholeLines } from "./cells.js";
import { columnReaders } from "./column-records.js";
import type { Format } from "./reader.js";
import { sampleCells } from "./sample.js";

const { readIds } = columnReaders(() => wholeLines);

export const idList: Format = {
  name: "ids",
  version: 1,
  options: ["header"],
  matches: (sample, role) => role === "ids" && sampleCells(sample).every(({ length }) => length === 1),
  readIds,
};
