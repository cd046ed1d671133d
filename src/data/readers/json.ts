/** Reads files that are one JSON value: a list of objects, or an object that maps ids to what belongs to them. */
import { roleName } from "./field-names.js";
import type { InputFile } from "./input.js";
import { readElements } from "./json-elements.js";
import { decode, JsonFault, readObject, readString } from "./json-line.js";
import { idObjects, judgementObjects, refuseIdKind, textObjects } from "./object-records.js";
import type { Format, IdRecord, JudgementRecord, Sample, SourceFile, Span, TextRecord } from "./reader.js";
import {
  emptySpan,
  isGoodId,
  newIdRecord,
  newJudgementRecord,
  newTextRecord,
  pointAt,
  pointTo,
  readScore,
  shorten,
} from "./records.js";
import { firstByte, sampleLines } from "./sample.js";

const QUOTE = 0x22;
const LIST = 0x5b;
const OPEN = 0x7b;

export const json: Format = {
  name: "json",
  version: 1,
  options: ["fields", "extras"],
  matches: (sample) => firstByte(sample) === LIST || (firstByte(sample) === OPEN && isOneObject(sample)),
  readTexts,
  readJudgements,
  readIds,
};

/** Whether the file is one object and not one of many on lines of their own. */
function isOneObject(sample: Sample): boolean {
  const [first = "", ...more] = sampleLines(sample);
  try {
    const value = JSON.parse(first) as Record<string, unknown>;
    const isRecord = ["_id", "id", "text", "query", "docid", "qid"].some((key) => Object.hasOwn(value, key));
    return more.length === 0 && sample.name.endsWith(".json") && !isRecord;
  } catch {
    return sample.name.endsWith(".json") || (first.trim() === "{" && !/\.(jsonl|ndjson)$/.test(sample.name));
  }
}

async function readTexts(
  input: InputFile,
  file: SourceFile,
  role: "corpus" | "queries",
  onRecord: (record: TextRecord) => void,
): Promise<void> {
  const objects = textObjects(input, file, role, onRecord);
  const keyed = textObjects(input, file, role, onRecord, true);
  const record = newTextRecord();
  await readElements(input, (bytes, start, end, line, key) => {
    const first = bytes[start];
    if (key === null) {
      objects(bytes, start, end, line);
    } else if (!isGoodId(key, "id", input, line)) {
      return;
    } else if (first === OPEN) keyed(bytes, start, end, line, key);
    else if (first === QUOTE && takeString(bytes, start, end, record.text, input, line)) {
      record.line = line;
      pointAt(record.id, key);
      onRecord(record);
    } else if (first !== QUOTE) refuse(input, line, bytes, start, end, "a text or an object", role);
  });
}

async function readJudgements(
  input: InputFile,
  file: SourceFile,
  onRecord: (record: JudgementRecord) => void,
): Promise<void> {
  const objects = judgementObjects(input, file, onRecord);
  await readElements(input, (bytes, start, end, line, key) => {
    if (key === null) objects(bytes, start, end, line);
    else if (bytes[start] !== OPEN)
      refuse(input, line, bytes, start, end, "an object of passage ids and scores", "qrels");
    else if (isGoodId(key, "query id", input, line)) readScores(input, bytes, start, end, line, key, onRecord);
  });
}

/** Reads `{"d1": 1, "d2": 0}`: all of a query's judgements, or none when one of them is wrong. */
function readScores(
  input: InputFile,
  bytes: Buffer,
  start: number,
  end: number,
  line: number,
  query: Span,
  onRecord: (record: JudgementRecord) => void,
): void {
  const found: { id: Buffer; score: number; line: number }[] = [];
  let isGood = true;
  let lineAt = line;
  let counted = start;
  try {
    readObject(bytes, start, end, ({ key, kind, value }) => {
      for (; counted < value.start && value.bytes === bytes; counted += 1) if (bytes[counted] === 0x0a) lineAt += 1;
      const id = Buffer.from(key, "utf8");
      const score = kind === "number" ? readScore(value.bytes, value.start, value.end) : Number.NaN;
      if (Number.isNaN(score) && isGood) {
        const seen = shorten(decode(value));
        input.fault(
          lineAt,
          `the score of ${JSON.stringify(key)} is no finite number: ${seen}`,
          "Write it as a number.",
        );
      }
      isGood = isGood && !Number.isNaN(score);
      isGood = isGood && isGoodId({ bytes: id, start: 0, end: id.byteLength }, "passage id", input, lineAt);
      found.push({ id, score, line: lineAt });
    });
  } catch (thrown) {
    if (!(thrown instanceof JsonFault)) throw thrown;
    if (isGood) input.fault(line, `${thrown.message}.`, 'A query looks like "q1": {"d1": 1, "d2": 0}.');
    return;
  }
  if (!isGood) return;
  const record = newJudgementRecord();
  pointAt(record.query, query);
  for (const { id, score, line: at } of found) {
    pointTo(record.passage, id, 0, id.byteLength);
    record.score = score;
    record.line = at;
    onRecord(record);
  }
}

async function readIds(input: InputFile, file: SourceFile, onRecord: (record: IdRecord) => void): Promise<void> {
  const objects = idObjects(input, file, onRecord);
  const record = newIdRecord();
  const text = emptySpan();
  await readElements(input, (bytes, start, end, line, key) => {
    const first = bytes[start] as number;
    if (key === null && first === OPEN) {
      objects(bytes, start, end, line);
      return;
    }
    if (key !== null) pointAt(record.id, key);
    else if (first !== QUOTE) {
      const kind = first === 0x2d || (first >= 0x30 && first <= 0x39) ? "number" : "other";
      refuseIdKind(input, line, "id", kind, bytes.toString("utf8", start, end));
      return;
    } else if (takeString(bytes, start, end, text, input, line)) pointAt(record.id, text);
    else return;
    record.line = line;
    if (isGoodId(record.id, "query id", input, line)) onRecord(record);
  });
}

function takeString(bytes: Buffer, start: number, end: number, target: Span, input: InputFile, line: number): boolean {
  try {
    readString(bytes, start, end, start, target);
    return true;
  } catch (thrown) {
    if (!(thrown instanceof JsonFault)) throw thrown;
    input.fault(line, `${thrown.message}.`, "Mend the string.");
    return false;
  }
}

function refuse(
  input: InputFile,
  line: number,
  bytes: Buffer,
  start: number,
  end: number,
  wanted: string,
  role: "corpus" | "queries" | "qrels",
): void {
  const seen = shorten(bytes.toString("utf8", start, Math.min(end, start + 200)));
  input.fault(
    line,
    `${wanted} was expected under the id, saw ${seen}`,
    `Objects of ${roleName(role)} look like ${role === "qrels" ? '{"q1": {"d1": 1}}' : '{"d1": "text"} or {"d1": {"title": "…", "text": "…"}}'}.`,
  );
}
