/** Reads the top level of one JSON object from bytes: strings stay bytes unless they hold escapes, so most of a corpus is never decoded. */
import type { Span } from "./reader.js";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/** Why a line is no JSON object; `column` counts bytes from 1. */
export class JsonFault extends Error {
  constructor(
    message: string,
    readonly column: number,
  ) {
    super(message);
  }
}

/** What stands under a key. */
export interface JsonField {
  key: string;
  kind: "string" | "number" | "null" | "other";
  /** A string's bytes without quotes and escapes; other values as written. */
  readonly value: Span;
}

/**
 * Calls `onField` for each field of the object in [start, end) of `bytes` (valid UTF-8); the field is used again.
 * Accepts exactly what JSON.parse accepts, less objects with the same key twice.
 *
 * @throws JsonFault
 */
export function readObject(bytes: Buffer, start: number, end: number, onField: (field: JsonField) => void): void {
  const field: JsonField = { key: "", kind: "other", value: { bytes, start: 0, end: 0 } };
  const keys = new Set<string>();
  let at = skipSpace(bytes, start, end);
  const fault = (message: string): JsonFault => new JsonFault(message, Math.min(at, end) - start + 1);
  if (at >= end || bytes[at] !== OPEN) throw fault("a JSON object was expected");
  at = skipSpace(bytes, at + 1, end);
  if (bytes[at] === CLOSE && at < end) at += 1;
  else {
    for (;;) {
      if (at >= end || bytes[at] !== QUOTE) throw fault("a key in double quotes was expected");
      at = readString(bytes, at, end, start, field.value);
      field.key = decode(field.value);
      const before = keys.size;
      if (keys.add(field.key).size === before) throw fault(`the key ${JSON.stringify(field.key)} occurs twice`);
      at = skipSpace(bytes, at, end);
      if (at >= end || bytes[at] !== COLON) throw fault("a colon was expected");
      at = readValue(bytes, skipSpace(bytes, at + 1, end), end, start, field);
      onField(field);
      at = skipSpace(bytes, at, end);
      if (at < end && bytes[at] === COMMA) {
        at = skipSpace(bytes, at + 1, end);
      } else if (at < end && bytes[at] === CLOSE) {
        at += 1;
        break;
      } else {
        throw fault(at >= end ? "the line ends inside the object" : "a comma or the end of the object was expected");
      }
    }
  }
  at = skipSpace(bytes, at, end);
  if (at < end) throw fault("more follows after the object");
}

/** A span as a string. */
export function decode(span: Span): string {
  const { bytes, start, end } = span;
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("utf8");
}

export function skipSpace(bytes: Buffer, from: number, end: number): number {
  let at = from;
  while (at < end) {
    const byte = bytes[at];
    if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) break;
    at += 1;
  }
  return at;
}

/** Returns where the string that begins at `from` is over; `hasEscape` in `seen`. */
function endOfString(
  bytes: Buffer,
  from: number,
  end: number,
  lineStart: number,
  seen: { hasEscape: boolean },
): number {
  seen.hasEscape = false;
  for (let at = from + 1; at < end; at += 1) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) return at + 1;
    if (byte === BACKSLASH) {
      seen.hasEscape = true;
      at += 1;
    } else if (byte < 0x20) {
      throw new JsonFault("a control character stands in a string", at - lineStart + 1);
    }
  }
  throw new JsonFault("a string has no end", from - lineStart + 1);
}

/** Where endOfString says what it met; never looked at across calls. */
const seen = { hasEscape: false };

/** Reads the string whose opening quote stands at `from` and returns where it is over. */
export function readString(bytes: Buffer, from: number, end: number, lineStart: number, value: Span): number {
  const next = endOfString(bytes, from, end, lineStart, seen);
  if (!seen.hasEscape) {
    value.bytes = bytes;
    value.start = from + 1;
    value.end = next - 1;
    return next;
  }
  const text = parsePart(bytes, from, next, lineStart) as string;
  if (/\p{Surrogate}/u.test(text)) {
    throw new JsonFault("an escape stands for half a character (a lone surrogate)", from - lineStart + 1);
  }
  value.bytes = Buffer.from(text, "utf8");
  value.start = 0;
  value.end = value.bytes.byteLength;
  return next;
}

/** Reads the value at `from` and returns where it is over (white space behind it may count to it). */
export function readValue(bytes: Buffer, from: number, end: number, lineStart: number, field: JsonField): number {
  const first = from < end ? (bytes[from] as number) : 0;
  if (first === QUOTE) {
    field.kind = "string";
    return readString(bytes, from, end, lineStart, field.value);
  }
  let next = from;
  let depth = 0;
  while (next < end) {
    const byte = bytes[next] as number;
    if (byte === QUOTE) {
      next = endOfString(bytes, next, end, lineStart, seen);
      continue;
    }
    if (byte === OPEN || byte === 0x5b) depth += 1;
    else if (byte === CLOSE || byte === 0x5d) {
      if (depth === 0) break;
      depth -= 1;
    } else if (byte === COMMA && depth === 0) break;
    next += 1;
  }
  parsePart(bytes, from, next, lineStart);
  while (next > from && (bytes[next - 1] as number) <= 0x20) next -= 1;
  field.kind = first === 0x6e ? "null" : first === 0x2d || (first >= 0x30 && first <= 0x39) ? "number" : "other";
  field.value.bytes = bytes;
  field.value.start = from;
  field.value.end = next;
  return next;
}

function parsePart(bytes: Buffer, from: number, to: number, lineStart: number): unknown {
  try {
    return JSON.parse(bytes.toString("utf8", from, to));
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new JsonFault(`bad JSON: ${reason.slice(0, 200)}`, from - lineStart + 1);
  }
}
