/** Makes records of JSON objects: finds their fields under the names in use, checks types, and says what is wrong with which line. */
import { QuarryError } from "../../errors.js";
import { putExtras } from "./extras.js";
import { FIRST_EXTRA, listNames, listSeen, type WantedField, wantedFields } from "./field-names.js";
import { FieldReader, type Slot } from "./field-reader.js";
import type { InputFile } from "./input.js";
import { decode, JsonFault } from "./json-line.js";
import type { LineHandler } from "./lines.js";
import type { IdRecord, JudgementRecord, SourceFile, Span, TextRecord } from "./reader.js";
import { isGoodId, newIdRecord, newJudgementRecord, newTextRecord, pointAt, readScore, shorten } from "./records.js";

/** Takes one object; `key` is its id where the object stands under it. */
export type ObjectHandler = (bytes: Buffer, start: number, end: number, line: number, key?: Span) => void;

/** One for each role and file: reads an object into slots, or reports what is wrong with it. */
export class ObjectFields {
  readonly slots: readonly Slot[];
  readonly #reader: FieldReader;

  /** @throws QuarryError CONFIG for options that cannot be meant for JSON. */
  constructor(
    private readonly input: InputFile,
    private readonly wanted: readonly WantedField[],
    /** Whether objects stand under their id and hold none. */
    private readonly isKeyed = false,
  ) {
    for (const { field, names } of wanted) {
      if (typeof names[0] !== "number") continue;
      throw new QuarryError("CONFIG", `${input.path}: fields.${field} is ${names[0]}, but JSON has no columns.`, {
        hint: "Name the field.",
      });
    }
    const byName = new Map(wanted.flatMap(({ names }, slot) => names.map((name) => [name, slot] as const)));
    this.#reader = new FieldReader(wanted.length, (key) => byName.get(key) ?? -1);
    this.slots = this.#reader.slots;
  }

  /** Whether the object in [start, end) of `bytes` has each field once. */
  read(bytes: Buffer, start: number, end: number, line: number): boolean {
    const reader = this.#reader;
    try {
      reader.read(bytes, start, end);
    } catch (thrown) {
      if (!(thrown instanceof JsonFault)) throw thrown;
      this.input.fault(
        line,
        `column ${thrown.column}: ${thrown.message}.`,
        'A record is one JSON object, e.g. {"_id": "d1", "title": "…", "text": "…"}.',
      );
      return false;
    }
    if (reader.doubled !== -1) return this.#refuseDoubled(reader.doubled, line);
    for (let slot = 0; slot < this.slots.length; slot += 1) {
      if (this.slots[slot]?.isFilled === true) continue;
      const wanted = this.wanted[slot] as WantedField;
      if (wanted.isNeeded && !(this.isKeyed && wanted.field === "id")) return this.#refuseMissing(wanted, line);
    }
    return true;
  }

  /** Points `target` at a slot's text; of optional ones null means none. */
  takeText(slot: number, target: Span, line: number): boolean {
    const { kind, isFilled, value } = this.slots[slot] as Slot;
    if (!isFilled) target.start = target.end = 0;
    else if (kind === "string") pointAt(target, value);
    else if (kind === "null" && (this.wanted[slot] as WantedField).field !== "text") target.start = target.end = 0;
    else return this.refuseKind(slot, "no string", "Write it as a string in quotes.", line);
    return true;
  }

  /** Points `target` at a slot's id. */
  takeId(slot: number, target: Span, line: number): boolean {
    const { kind, key, value } = this.slots[slot] as Slot;
    if (kind === "string") {
      pointAt(target, value);
      return isGoodId(target, `field ${JSON.stringify(key)}`, this.input, line);
    }
    return refuseIdKind(this.input, line, key, kind, decode(value));
  }

  /** A slot's score, or NaN when it is none and that was reported. */
  takeScore(slot: number, line: number): number {
    const { kind, value } = this.slots[slot] as Slot;
    const score = kind === "number" ? readScore(value.bytes, value.start, value.end) : Number.NaN;
    if (Number.isNaN(score)) this.refuseKind(slot, "no finite number", "Write it as a number, e.g. 1 or 0.5.", line);
    return score;
  }

  /** A slot's value as JSON, or null where there is none. */
  jsonOf(slot: number): string | null {
    const { kind, isFilled, value } = this.slots[slot] as Slot;
    if (!isFilled || kind === "null") return null;
    return kind === "string" ? JSON.stringify(decode(value)) : decode(value);
  }

  refuseKind(slot: number, what: string, hint: string, line: number): false {
    const { key, kind, value } = this.slots[slot] as Slot;
    const seen = kind === "string" ? JSON.stringify(shorten(decode(value))) : shorten(decode(value));
    this.input.fault(line, `the field ${JSON.stringify(key)} is ${what}: ${seen}`, hint);
    return false;
  }

  #refuseMissing(wanted: WantedField, line: number): false {
    this.input.fault(
      line,
      `no ${wanted.what}: no field ${listNames(wanted)}. Fields of the record: ${listSeen(this.#reader.keys)}.`,
      `Name the field with the option fields, e.g. { path, fields: { ${wanted.field}: "…" } }.`,
    );
    return false;
  }

  #refuseDoubled(slot: number, line: number): false {
    const wanted = this.wanted[slot] as WantedField;
    const { keys } = this.#reader;
    const claims = keys.filter((key) => wanted.names.includes(key)).map((key) => JSON.stringify(key));
    this.input.fault(
      line,
      `${claims.join(" and ")} may each be the ${wanted.what}. Fields of the record: ${listSeen(keys)}.`,
      `Choose one with the option fields, e.g. { path, fields: { ${wanted.field}: ${claims[0]} } }.`,
    );
    return false;
  }
}

/** Reports an id that is no string. */
export function refuseIdKind(input: InputFile, line: number, key: string, kind: string, written: string): false {
  const name = JSON.stringify(key);
  if (kind === "number") {
    input.fault(
      line,
      `the field ${name} is the number ${shorten(written)}; ids are strings.`,
      `Write "${shorten(written)}" in quotes: numbers beyond 2^53, such as 9007199254740993, change when they are read.`,
    );
  } else input.fault(line, `the field ${name} is no string: ${shorten(written)}`, "Write ids as strings in quotes.");
  return false;
}

/** Reads passages or queries; `isKeyed`: each object stands under its id. */
export function textObjects(
  input: InputFile,
  file: SourceFile,
  role: "corpus" | "queries",
  onRecord: (record: TextRecord) => void,
  isKeyed = false,
): ObjectHandler {
  const fields = new ObjectFields(input, wantedFields(file, role), isKeyed);
  const record = newTextRecord();
  const extras = file.extras ?? [];
  return (bytes, start, end, line, key) => {
    if (!fields.read(bytes, start, end, line)) return;
    record.line = line;
    if (key !== undefined) pointAt(record.id, key);
    else if (!fields.takeId(0, record.id, line)) return;
    if (!fields.takeText(1, record.text, line)) return;
    if (!fields.takeText(2, record.title, line)) return;
    if (!fields.takeText(3, record.prompt, line)) return;
    if (extras.length > 0) putExtras(record.extras, extras, (index) => fields.jsonOf(FIRST_EXTRA + index));
    onRecord(record);
  };
}

/** Reads judgements, one an object. */
export function judgementObjects(
  input: InputFile,
  file: SourceFile,
  onRecord: (record: JudgementRecord) => void,
): LineHandler {
  const fields = new ObjectFields(input, wantedFields(file, "qrels"));
  const record = newJudgementRecord();
  return (bytes, start, end, line) => {
    if (!fields.read(bytes, start, end, line)) return;
    record.line = line;
    if (!fields.takeId(0, record.query, line) || !fields.takeId(1, record.passage, line)) return;
    record.score = fields.takeScore(2, line);
    if (!Number.isNaN(record.score)) onRecord(record);
  };
}

/** Reads query ids, one an object. */
export function idObjects(input: InputFile, file: SourceFile, onRecord: (record: IdRecord) => void): LineHandler {
  const fields = new ObjectFields(input, wantedFields(file, "ids"));
  const record = newIdRecord();
  return (bytes, start, end, line) => {
    if (!fields.read(bytes, start, end, line)) return;
    record.line = line;
    if (fields.takeId(0, record.id, line)) onRecord(record);
  };
}
