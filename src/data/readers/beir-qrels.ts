/** Reads judgements in BEIR layout: query id, passage id and score, separated by tabs, with or without a header. */
import { dataError } from "../failures.js";
import type { InputFile } from "./input.js";
import { readLines } from "./lines.js";
import type { JudgementReader, JudgementRecord } from "./reader.js";

const TAB = 9;
const HEADER = /^(query|q|topic)[-_ ]?id$/i;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
const HINT = "A line holds query id, passage id and score, separated by tabs.";

export const beirQrels: JudgementReader = {
  format: "beir-tsv/1",
  endings: [".tsv", ".txt"],
  read: readQrels,
};

async function readQrels(input: InputFile, onRecord: (record: JudgementRecord) => void): Promise<void> {
  const nothing = new Uint8Array(0);
  const record: JudgementRecord = {
    line: 0,
    query: { bytes: nothing, start: 0, end: 0 },
    passage: { bytes: nothing, start: 0, end: 0 },
    score: 0,
  };
  let isFirst = true;
  await readLines(input, (bytes, start, end, line) => {
    const first = bytes.indexOf(TAB, start);
    const second = first === -1 || first >= end ? -1 : bytes.indexOf(TAB, first + 1);
    const third = second === -1 || second >= end ? -1 : bytes.indexOf(TAB, second + 1);
    if (second === -1 || second >= end || (third !== -1 && third < end)) {
      throw columnFault(bytes.toString("utf8", start, Math.min(end, start + 200)), input.path, line);
    }
    const mayBeHeader = isFirst;
    isFirst = false;
    const score = readScore(bytes, second + 1, end);
    if (Number.isNaN(score)) {
      if (mayBeHeader && HEADER.test(bytes.toString("utf8", start, first))) return;
      const seen = JSON.stringify(bytes.toString("utf8", second + 1, Math.min(end, second + 61)));
      throw dataError(input.path, line, `the score ${seen} is no number.`, HINT);
    }
    if (first === start || second === first + 1) {
      throw dataError(input.path, line, `the ${first === start ? "query" : "passage"} id is empty.`, HINT);
    }
    record.line = line;
    record.query.bytes = record.passage.bytes = bytes;
    record.query.start = start;
    record.query.end = first;
    record.passage.start = first + 1;
    record.passage.end = second;
    record.score = score;
    onRecord(record);
  });
}

/** NaN for what is no finite float32. */
function readScore(bytes: Buffer, start: number, end: number): number {
  const only = bytes[start] as number;
  if (end === start + 1 && only >= 0x30 && only <= 0x39) return only - 0x30;
  const text = bytes.toString("latin1", start, end);
  if (!NUMBER.test(text)) return Number.NaN;
  const score = Math.fround(Number(text));
  return Number.isFinite(score) ? score : Number.NaN;
}

function columnFault(text: string, file: string, line: number): Error {
  const tabs = text.split("\t").length;
  const isTrec = tabs === 1 && text.trim().split(/\s+/).length === 4;
  const seen = isTrec ? "four columns, as in TREC qrels" : `${tabs} ${tabs === 1 ? "column" : "columns"}`;
  return dataError(file, line, `${seen}; three columns separated by tabs were expected.`, HINT);
}
