/** Reads passages and queries in BEIR layout: one JSON object a line with `_id`, `text` and perhaps `title`. */
import { dataError } from "../failures.js";
import type { InputFile } from "./input.js";
import { decode, JsonFault, type JsonField, readObject } from "./json-line.js";
import { readLines } from "./lines.js";
import type { TextReader, TextRecord } from "./reader.js";

export const beirTexts: TextReader = {
  format: "beir-jsonl/1",
  endings: [".jsonl", ".ndjson"],
  read: readTexts,
};

async function readTexts(input: InputFile, onRecord: (record: TextRecord) => void): Promise<void> {
  const nothing = new Uint8Array(0);
  const record: TextRecord = {
    line: 0,
    id: { bytes: nothing, start: 0, end: 0 },
    title: { bytes: nothing, start: 0, end: 0 },
    text: { bytes: nothing, start: 0, end: 0 },
  };
  let hasId = false;
  let hasText = false;
  const keys: string[] = [];

  const onField = (field: JsonField): void => {
    keys.push(field.key);
    if (field.key !== "_id" && field.key !== "text" && field.key !== "title") return;
    if (field.key === "title" && field.kind === "null") return;
    if (field.kind !== "string") throw wrongKind(input.path, record.line, field);
    const span = field.key === "_id" ? record.id : field.key === "text" ? record.text : record.title;
    span.bytes = field.value.bytes;
    span.start = field.value.start;
    span.end = field.value.end;
    if (field.key === "_id") hasId = true;
    if (field.key === "text") hasText = true;
  };

  await readLines(input, (bytes, start, end, line) => {
    record.line = line;
    record.title.start = record.title.end = 0;
    hasId = hasText = false;
    keys.length = 0;
    try {
      readObject(bytes, start, end, onField);
    } catch (thrown) {
      if (!(thrown instanceof JsonFault)) throw thrown;
      throw dataError(
        input.path,
        line,
        `column ${thrown.column}: ${thrown.message}.`,
        'Each line holds one JSON object: {"_id": "d1", "title": "…", "text": "…"}.',
      );
    }
    if (!hasId || !hasText) throw missingField(input.path, line, hasId ? "text" : "_id", keys);
    checkId(input.path, record);
    onRecord(record);
  });
}

function wrongKind(file: string, line: number, field: JsonField): Error {
  const written = decode(field.value).slice(0, 60);
  if (field.key === "_id" && field.kind === "number") {
    return dataError(
      file,
      line,
      `the field "_id" is the number ${written}; ids are strings.`,
      `Write "_id": "${written}" in quotes: numbers beyond 2^53, such as 9007199254740993, change when they are read.`,
    );
  }
  return dataError(file, line, `the field "${field.key}" is no string: ${written}`, "Write it as a string in quotes.");
}

function missingField(file: string, line: number, field: string, keys: readonly string[]): Error {
  const has = keys.length === 0 ? "no fields" : `the fields ${keys.slice(0, 10).join(", ")}`;
  return dataError(
    file,
    line,
    `no field "${field}".`,
    `The line has ${has}; BEIR layout wants _id, text and perhaps title.`,
  );
}

/** Run files and qrels are separated by white space, so an id that holds some could not be read back. */
function checkId(file: string, record: TextRecord): void {
  const { bytes, start, end } = record.id;
  if (start === end)
    throw dataError(file, record.line, 'the field "_id" is empty.', "Give each record an id of its own.");
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at] as number;
    if (byte <= 0x20 || byte === 0x7f) {
      throw dataError(
        file,
        record.line,
        `the id ${JSON.stringify(decode(record.id))} holds white space or a control character.`,
        "Use ids without them, e.g. with _ instead: run files and qrels are separated by white space.",
      );
    }
  }
}
