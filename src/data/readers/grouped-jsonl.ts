/** Reads grouped JSONL: a query a line with the list of its passages and the list of their scores. */
import { wantedFields } from "./field-names.js";
import type { InputFile } from "./input.js";
import { decode } from "./json-line.js";
import { readLines } from "./lines.js";
import { idObjects, ObjectFields } from "./object-records.js";
import type { Format, JudgementRecord, SourceFile } from "./reader.js";
import { isGoodId, newJudgementRecord, pointTo } from "./records.js";
import { firstByte, sampleLines } from "./sample.js";

const OPEN = 0x7b;
const QUERY = /"(query_id|query-id|qid)"\s*:/;
const LIST = /"(docid|doc_id|passage_id|passage-id|pid|corpus-id|corpus_id)s?"\s*:\s*\[/;
const HINT = 'A line looks like {"qid": "q1", "docid": ["d1", "d2"], "score": [1, 0]}.';

export const groupedJsonl: Format = {
  name: "grouped-jsonl",
  version: 1,
  options: ["fields"],
  matches(sample, role) {
    if ((role !== "qrels" && role !== "ids") || firstByte(sample) !== OPEN) return false;
    const [first = ""] = sampleLines(sample);
    return QUERY.test(first) && LIST.test(first);
  },
  readJudgements,
  readIds: (input, file, onRecord) => readLines(input, idObjects(input, file, onRecord)),
};

function readJudgements(
  input: InputFile,
  file: SourceFile,
  onRecord: (record: JudgementRecord) => void,
): Promise<void> {
  const fields = new ObjectFields(input, wantedFields(file, "qrels", true));
  const record = newJudgementRecord();
  return readLines(input, (bytes, start, end, line) => {
    if (!fields.read(bytes, start, end, line) || !fields.takeId(0, record.query, line)) return;
    const passages = listIn(fields, 1, line);
    const scores = listIn(fields, 2, line);
    if (passages === null || scores === null) return;
    if (passages.length !== scores.length) {
      input.fault(line, `${passages.length} passage ids, but ${scores.length} scores.`, HINT);
      return;
    }
    record.line = line;
    const ids = passages.map((id) => idBytes(id, input, line));
    // A line is taken whole or not at all.
    if (ids.includes(null)) return;
    for (const score of scores) {
      if (typeof score === "number" && Number.isFinite(Math.fround(score))) continue;
      input.fault(line, `the score ${JSON.stringify(score)} is no finite number.`, HINT);
      return;
    }
    for (const [index, id] of (ids as Buffer[]).entries()) {
      pointTo(record.passage, id, 0, id.byteLength);
      record.score = Math.fround(scores[index] as number);
      onRecord(record);
    }
  });
}

function listIn(fields: ObjectFields, slot: number, line: number): unknown[] | null {
  const { kind, value } = fields.slots[slot] as (typeof fields.slots)[number];
  // The bytes were parsed when the object was read; what is a list is one.
  if (kind === "other" && value.bytes[value.start] === 0x5b) return JSON.parse(decode(value)) as unknown[];
  fields.refuseKind(slot, "no list", HINT, line);
  return null;
}

function idBytes(id: unknown, input: InputFile, line: number): Buffer | null {
  if (typeof id !== "string") {
    const what = typeof id === "number" ? `the passage id ${id} is a number` : "a passage id is no string";
    input.fault(
      line,
      `${what}; ids are strings.`,
      "Write ids in quotes: numbers beyond 2^53 change when they are read.",
    );
    return null;
  }
  if (/\p{Surrogate}/u.test(id)) {
    input.fault(line, "an escape stands for half a character (a lone surrogate).", HINT);
    return null;
  }
  const bytes = Buffer.from(id, "utf8");
  return isGoodId({ bytes, start: 0, end: bytes.byteLength }, "passage id", input, line) ? bytes : null;
}
