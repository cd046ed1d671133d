/** Reads the known fields of one JSON object after the other: keys are compared as bytes with those of the object before, nothing is decoded. */
import { decode, JsonFault, type JsonField, readString, readValue, skipSpace } from "./json-line.js";
import { PlainStrings } from "./plain-string.js";
import type { Span } from "./reader.js";
import { emptySpan } from "./records.js";

const QUOTE = 0x22;
const COLON = 0x3a;
const COMMA = 0x2c;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/** A key as a file writes it. */
interface Key {
  readonly raw: Uint8Array;
  readonly name: string;
  /** Which slot takes the value; -1 for none. */
  readonly slot: number;
}

/** More different keys than this are no fields but ids; then each is looked at anew. */
const KNOWN_KEYS = 256;

/** What was found under one of the wanted fields. */
export interface Slot extends JsonField {
  isFilled: boolean;
}

/**
 * Fills slots from objects. Equal objects in a row (the same keys in the same order) cost no allocation.
 *
 * @example
 * const reader = new FieldReader(2, (key) => ["id", "text"].indexOf(key));
 * reader.read(bytes, start, end);
 * reader.slots[0].value; // the bytes of the id
 */
export class FieldReader {
  readonly slots: readonly Slot[];
  /** The first slot that two fields of the object claim, or -1. */
  doubled = -1;

  /** Keys of the object before, then of this one up to where it is read. */
  readonly #shape: Key[] = [];
  readonly #known: Key[] = [];
  readonly #other: JsonField = { key: "", kind: "other", value: emptySpan() };
  readonly #key: Span = emptySpan();
  readonly #strings = new PlainStrings();

  /** @param slotOf which slot a key fills, 0 to slotCount - 1, or -1 for none. */
  constructor(
    slotCount: number,
    private readonly slotOf: (key: string) => number,
  ) {
    this.slots = Array.from({ length: slotCount }, () => ({
      key: "",
      kind: "null" as const,
      value: emptySpan(),
      isFilled: false,
    }));
  }

  /** The names of the fields of the object that was read last. */
  get keys(): string[] {
    return this.#shape.map(({ name }) => name);
  }

  /**
   * Reads the object in [start, end) of `bytes` (valid UTF-8). Accepts exactly what JSON.parse accepts, less objects with
   * the same key twice.
   *
   * @throws JsonFault
   */
  read(bytes: Buffer, start: number, end: number): void {
    const shape = this.#shape;
    for (const slot of this.slots) slot.isFilled = false;
    this.doubled = -1;
    let count = 0;
    let at = skipSpace(bytes, start, end);
    if (at >= end || bytes[at] !== OPEN) throw new JsonFault("a JSON object was expected", at - start + 1);
    at = skipSpace(bytes, at + 1, end);
    if (at < end && bytes[at] === CLOSE) at += 1;
    else {
      for (;;) {
        if (at >= end || bytes[at] !== QUOTE)
          throw new JsonFault("a key in double quotes was expected", at - start + 1);
        let key = shape[count];
        if (key !== undefined && isKeyAt(bytes, at + 1, end, key.raw)) at += key.raw.byteLength + 2;
        else {
          const next = readString(bytes, at, end, start, this.#key);
          key = this.#intern(bytes, at + 1, next - 1);
          shape.length = count;
          for (const { name } of shape) {
            if (name === key.name) throw new JsonFault(`the key ${JSON.stringify(name)} occurs twice`, at - start + 1);
          }
          shape.push(key);
          at = next;
        }
        count += 1;
        if (at < end && bytes[at] !== COLON) at = skipSpace(bytes, at, end);
        if (at >= end || bytes[at] !== COLON) throw new JsonFault("a colon was expected", at - start + 1);
        at = skipSpace(bytes, at + 1, end);
        at = this.#readValue(bytes, at, end, start, key);
        if (at < end && (bytes[at] as number) <= 0x20) at = skipSpace(bytes, at, end);
        const byte = at < end ? bytes[at] : 0;
        if (byte === COMMA) at = skipSpace(bytes, at + 1, end);
        else if (byte === CLOSE) {
          at += 1;
          break;
        } else {
          const why = at >= end ? "the line ends inside the object" : "a comma or the end of the object was expected";
          throw new JsonFault(why, at - start + 1);
        }
      }
    }
    shape.length = count;
    if (at < end) at = skipSpace(bytes, at, end);
    if (at < end) throw new JsonFault("more follows after the object", at - start + 1);
  }

  #readValue(bytes: Buffer, from: number, end: number, lineStart: number, key: Key): number {
    if (key.slot === -1) return readValue(bytes, from, end, lineStart, this.#other);
    const slot = this.slots[key.slot] as Slot;
    if (slot.isFilled) {
      this.doubled = key.slot;
      return readValue(bytes, from, end, lineStart, this.#other);
    }
    slot.isFilled = true;
    slot.key = key.name;
    if (from < end && bytes[from] === QUOTE) {
      const to = this.#strings.end(bytes, from + 1, end);
      if (to !== -1) {
        slot.kind = "string";
        slot.value.bytes = bytes;
        slot.value.start = from + 1;
        slot.value.end = to;
        return to + 1;
      }
    }
    return readValue(bytes, from, end, lineStart, slot);
  }

  #intern(bytes: Buffer, start: number, end: number): Key {
    for (const key of this.#known) {
      if (end - start === key.raw.byteLength && isKeyAt(bytes, start, end + 1, key.raw)) return key;
    }
    const name = decode(this.#key);
    const key = { raw: Uint8Array.prototype.slice.call(bytes, start, end), name, slot: this.slotOf(name) };
    if (this.#known.length < KNOWN_KEYS) this.#known.push(key);
    return key;
  }
}

/** Whether the key that begins at `from` is this one, up to and with its closing quote. */
function isKeyAt(bytes: Uint8Array, from: number, end: number, raw: Uint8Array): boolean {
  const to = from + raw.byteLength;
  if (to >= end || bytes[to] !== QUOTE) return false;
  for (let at = 0; at < raw.byteLength; at += 1) if (bytes[from + at] !== raw[at]) return false;
  return true;
}
