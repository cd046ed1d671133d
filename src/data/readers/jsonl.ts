/** Reads JSONL: one JSON object a line, with its fields under any of the usual names (BEIR's _id, title and text among them). */
import { readLines } from "./lines.js";
import { idObjects, judgementObjects, textObjects } from "./object-records.js";
import type { Format } from "./reader.js";
import { firstByte } from "./sample.js";

const OPEN = 0x7b;

export const jsonl: Format = {
  name: "jsonl",
  version: 2,
  options: ["fields", "extras"],
  matches: (sample) => firstByte(sample) === OPEN || /\.(jsonl|ndjson)$/.test(sample.name),
  readTexts: (input, file, role, onRecord) => readLines(input, textObjects(input, file, role, onRecord)),
  readJudgements: (input, file, onRecord) => readLines(input, judgementObjects(input, file, onRecord)),
  readIds: (input, file, onRecord) => readLines(input, idObjects(input, file, onRecord)),
};
