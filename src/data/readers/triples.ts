/** Reads id triples in MS MARCO's layout: query id, positive passage, negative passage, separated by tabs. */
import { type Cells, cellText, cellTexts, cutAt } from "./cells.js";
import { isOneOf, looksLikeHeader } from "./columns.js";
import { usualFields } from "./field-names.js";
import type { InputFile } from "./input.js";
import type { Format, IdRecord, JudgementRecord, Sample, SourceFile, Span } from "./reader.js";
import { isGoodId, looksLikeScore, newIdRecord, newJudgementRecord, pointAt, pointTo, shorten } from "./records.js";
import { sampleLines } from "./sample.js";

const TAB = 9;
const HINT = "A line holds query id, positive passage id and negative passage id, separated by tabs.";

export const triples: Format = {
  name: "triples",
  version: 1,
  options: ["header", "part"],
  mayRepeat: true,
  matches(sample, role, file) {
    return (role === "qrels" || role === "ids") && isTriples(sample, file);
  },
  readJudgements,
  readIds,
};

/**
 * Three columns with a number in the third are judgements, and with something else in all lines triples. Ids may be
 * numbers, too: then only the name of the file tells.
 */
function isTriples(sample: Sample, file: SourceFile): boolean {
  const lines = sampleLines(sample).map((line) => line.split("\t"));
  if (lines.some((cells) => cells.length !== 3)) return false;
  const isHeaded = hasHeader(lines[0] ?? [], file);
  const [, ...judged] = usualFields("qrels");
  if (isHeaded && lines[0]?.some((cell) => judged.some(({ names }) => isOneOf(cell, names))) === true) return false;
  const records = lines.slice(isHeaded ? 1 : 0);
  if (records.length === 0) return false;
  const isNamedSo = /triples?[^/]*$/.test(sample.name);
  return isNamedSo || records.every((cells) => !looksLikeScore(cells[2] as string));
}

function hasHeader(first: readonly string[], file: SourceFile): boolean {
  return file.header ?? looksLikeHeader(first, "qrels");
}

async function readTriples(
  input: InputFile,
  file: SourceFile,
  onTriple: (cells: Cells, line: number) => void,
): Promise<void> {
  let isFirst = true;
  await cutAt(TAB)(input, (cells, line) => {
    const mayBeHeader = isFirst;
    isFirst = false;
    if (mayBeHeader && hasHeader(cellTexts(cells), file)) return;
    if (cells.count === 3) onTriple(cells, line);
    else {
      const begin = JSON.stringify(shorten(cellText(cells, 0), 30));
      const columns = `${cells.count} ${cells.count === 1 ? "column" : "columns"}`;
      input.fault(line, `${columns}, the first one ${begin}; three were expected.`, HINT);
    }
  });
}

function readJudgements(
  input: InputFile,
  file: SourceFile,
  onRecord: (record: JudgementRecord) => void,
): Promise<void> {
  const record = newJudgementRecord();
  record.score = 1;
  const negative = newJudgementRecord();
  return readTriples(input, file, (cells, line) => {
    if (!takeId(cells, 0, record.query, "query id", input, line)) return;
    if (!takeId(cells, 1, record.passage, "positive passage id", input, line)) return;
    if (!takeId(cells, 2, negative.passage, "negative passage id", input, line)) return;
    pointAt(negative.query, record.query);
    record.line = negative.line = line;
    if (file.part !== "negatives") onRecord(record);
    if (file.part !== "positives") onRecord(negative);
  });
}

function readIds(input: InputFile, file: SourceFile, onRecord: (record: IdRecord) => void): Promise<void> {
  const record = newIdRecord();
  return readTriples(input, file, (cells, line) => {
    record.line = line;
    if (takeId(cells, 0, record.id, "query id", input, line)) onRecord(record);
  });
}

function takeId(cells: Cells, index: number, target: Span, what: string, input: InputFile, line: number): boolean {
  pointTo(target, cells.bytes, cells.starts[index] as number, cells.ends[index] as number);
  return isGoodId(target, what, input, line);
}
