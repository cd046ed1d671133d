/** Reads a whole JSON value from a line's bytes as JSON.parse does, but refuses keys that occur twice, at any depth. */
import { JsonFault, readObject } from "../json-line.js";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPEN = 0x7b;

/**
 * The value in [start, end) of `bytes` (valid UTF-8).
 *
 * @throws JsonFault for bad JSON and for an object with the same key twice, of which JSON.parse would drop one silently.
 */
export function parseStrictly(bytes: Buffer, start: number, end: number): unknown {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8", start, end));
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new JsonFault(`bad JSON: ${reason.slice(0, 200)}`, columnOf(reason, bytes, start, end));
  }
  // Each key has one colon outside of strings, so fewer keys than colons means that some were dropped.
  if (colonsOutsideStrings(bytes, start, end) !== keysIn(value)) {
    if (bytes[start] === OPEN) readObject(bytes, start, end, () => {});
    throw new JsonFault("a key occurs twice in one of the objects inside", 1);
  }
  return value;
}

/** JSON.parse tells a place in most of its messages, in UTF-16 units; where it does not, the line's end is the place. */
function columnOf(reason: string, bytes: Buffer, start: number, end: number): number {
  const found = /position (\d+)/.exec(reason)?.[1];
  if (found === undefined) return end - start + 1;
  return Buffer.byteLength(bytes.toString("utf8", start, end).slice(0, Number(found))) + 1;
}

function colonsOutsideStrings(bytes: Buffer, start: number, end: number): number {
  let count = 0;
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at];
    if (byte === COLON) count += 1;
    else if (byte === QUOTE) at = closingQuote(bytes, at + 1);
  }
  return count;
}

function closingQuote(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(QUOTE, from); ; at = bytes.indexOf(QUOTE, at + 1)) {
    let first = at;
    while (first > from && bytes[first - 1] === BACKSLASH) first -= 1;
    if ((at - first) % 2 === 0) return at;
  }
}

function keysIn(value: unknown): number {
  const open: unknown[] = [value];
  let count = 0;
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== "object" || next === null) continue;
    const inside: unknown[] = Array.isArray(next) ? next : Object.values(next);
    if (!Array.isArray(next)) count += inside.length;
    for (const each of inside) if (typeof each === "object") open.push(each);
  }
  return count;
}
