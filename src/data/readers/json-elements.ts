/** Cuts a file that is one JSON list or object into its elements, without holding more than one of them. */
import { isUtf8 } from "node:buffer";
import { dataError } from "../failures.js";
import type { InputFile } from "./input.js";
import { JsonFault, readString } from "./json-line.js";
import type { Span } from "./reader.js";
import { emptySpan } from "./records.js";

const LF = 0x0a;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
/** A larger element is no record. */
const MAX_ELEMENT_BYTES = 1 << 28;
const HINT = "The file must be one JSON list or one JSON object; JSONL holds one object a line.";

/** Takes an element [start, end) of `bytes` and its key, if the file is an object. Valid during the call only. */
export type ElementHandler = (bytes: Buffer, start: number, end: number, line: number, key: Span | null) => void;

/** What may stand next on the top level. */
type Awaited = "opening" | "element" | "first element" | "colon" | "value" | "comma" | "nothing";

/**
 * Calls `onElement` for each element of the list or object. An element that is no UTF-8 or whose key is no JSON is a
 * fault of the input; what the element holds is left to the handler.
 *
 * @throws QuarryError DATA for an empty file, for damaged gzip, and where the list or object itself is broken: there is
 * no telling where the next element begins.
 */
export async function readElements(input: InputFile, onElement: ElementHandler): Promise<void> {
  const cutter = new ElementCutter(input, onElement);
  let fault: string | null = null;
  for await (const chunk of input.chunks((reason) => (fault = reason))) cutter.push(chunk);
  cutter.finish(fault);
}

class ElementCutter {
  #bytes: Buffer = Buffer.alloc(0);
  #filled = 0;
  #at = 0;
  #line = 1;
  #awaited: Awaited = "opening";
  #isObject = false;
  // The element or key under way: where it begins, -1 for none, and how deep the place is inside it.
  #start = -1;
  #startLine = 1;
  #keyStart = -1;
  #keyEnd = -1;
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  readonly #key: Span = emptySpan();

  constructor(
    private readonly input: InputFile,
    private readonly onElement: ElementHandler,
  ) {}

  push(chunk: Uint8Array): void {
    this.#makeRoom(chunk.byteLength);
    this.#bytes.set(chunk, this.#filled);
    this.#filled += chunk.byteLength;
    this.#scan();
    this.input.report(this.#line);
  }

  finish(fault: string | null): void {
    if (fault !== null) {
      throw dataError(this.input.path, this.#line, `${fault}.`, "Fetch or compress the file again.");
    }
    if (this.#awaited !== "nothing") throw this.#broken("the JSON ends too early");
  }

  /** Keeps what is under way and lets go of the rest. */
  #makeRoom(count: number): void {
    const from = this.#keyStart !== -1 ? this.#keyStart : this.#start !== -1 ? this.#start : this.#at;
    const kept = this.#filled - from;
    if (kept > MAX_ELEMENT_BYTES) throw this.#broken(`one element is larger than ${MAX_ELEMENT_BYTES >> 20} MiB`);
    const target =
      kept + count > this.#bytes.byteLength ? Buffer.allocUnsafe(Math.max(2 * kept, kept + count)) : this.#bytes;
    this.#bytes.copy(target, 0, from, this.#filled);
    this.#bytes = target;
    this.#filled = kept;
    this.#at -= from;
    if (this.#start !== -1) this.#start -= from;
    if (this.#keyStart !== -1) this.#keyStart -= from;
    if (this.#keyEnd !== -1) this.#keyEnd -= from;
  }

  #scan(): void {
    while (this.#at < this.#filled) {
      if (this.#start !== -1) {
        if (!this.#skipElement()) return;
        continue;
      }
      const byte = this.#bytes[this.#at] as number;
      if (byte === LF) this.#line += 1;
      else if (byte > 0x20) this.#step(byte);
      this.#at += this.#start === -1 ? 1 : 0;
    }
  }

  /** Takes one byte on the top level, between elements. */
  #step(byte: number): void {
    const awaited = this.#awaited;
    if (awaited === "opening") {
      // A byte order mark.
      if (byte === 0xef || byte === 0xbb || byte === 0xbf) return;
      if (byte !== 0x5b && byte !== 0x7b) throw this.#broken("neither a list nor an object begins here");
      this.#isObject = byte === 0x7b;
      this.#awaited = "first element";
    } else if ((awaited === "first element" || awaited === "comma") && byte === (this.#isObject ? 0x7d : 0x5d)) {
      this.#awaited = "nothing";
    } else if (awaited === "comma" && byte === COMMA) this.#awaited = "element";
    else if (awaited === "colon" && byte === COLON) this.#awaited = "value";
    else if (awaited === "comma" || awaited === "colon" || awaited === "nothing" || byte === COMMA || byte === COLON) {
      const wanted = awaited === "nothing" ? "the end of the file" : awaited.replace("first ", "");
      throw this.#broken(`${JSON.stringify(String.fromCharCode(byte))} stands where ${wanted} was expected`);
    } else {
      if (this.#isObject && awaited !== "value" && byte !== QUOTE)
        throw this.#broken("a key in double quotes was expected");
      this.#start = this.#at;
      this.#startLine = this.#line;
      this.#depth = 0;
    }
  }

  /** Moves to the end of the element or key under way; false when it is not there yet. */
  #skipElement(): boolean {
    const bytes = this.#bytes;
    const filled = this.#filled;
    let at = this.#at;
    for (; at < filled; at += 1) {
      const byte = bytes[at] as number;
      if (byte === LF) this.#line += 1;
      if (this.#isInString) {
        if (this.#isEscaped) this.#isEscaped = false;
        else if (byte === BACKSLASH) this.#isEscaped = true;
        else if (byte === QUOTE) {
          this.#isInString = false;
          if (this.#depth === 0) return this.#end(at + 1);
        }
      } else if (byte === QUOTE) this.#isInString = true;
      else if (byte === 0x7b || byte === 0x5b) this.#depth += 1;
      else if (byte === 0x7d || byte === 0x5d) {
        // A number or word ends at the bracket of the list that holds it.
        if (this.#depth === 0) return this.#end(at);
        this.#depth -= 1;
        if (this.#depth === 0) return this.#end(at + 1);
      } else if (this.#depth === 0 && (byte === COMMA || byte <= 0x20)) {
        if (byte === LF) this.#line -= 1;
        return this.#end(at);
      }
    }
    this.#at = at;
    return false;
  }

  #end(end: number): true {
    const start = this.#start;
    this.#start = -1;
    this.#at = end;
    if (this.#isObject && this.#awaited !== "value") {
      this.#keyStart = start;
      this.#keyEnd = end;
      this.#awaited = "colon";
      return true;
    }
    this.#awaited = "comma";
    const first = this.#isObject ? this.#keyStart : start;
    const isClean = isUtf8(this.#bytes.subarray(first, end));
    if (!isClean) {
      this.input.fault(
        this.#startLine,
        "the record is not valid UTF-8.",
        "Save the file as UTF-8, e.g. with `iconv -t UTF-8`.",
      );
    } else if (!this.#isObject) this.onElement(this.#bytes, start, end, this.#startLine, null);
    else if (this.#readKey()) this.onElement(this.#bytes, start, end, this.#startLine, this.#key);
    this.#keyStart = this.#keyEnd = -1;
    return true;
  }

  #readKey(): boolean {
    try {
      readString(this.#bytes, this.#keyStart, this.#keyEnd, this.#keyStart, this.#key);
      return true;
    } catch (thrown) {
      if (!(thrown instanceof JsonFault)) throw thrown;
      this.input.fault(this.#startLine, `the key of the record: ${thrown.message}.`, HINT);
      return false;
    }
  }

  #broken(what: string): Error {
    return dataError(this.input.path, this.#line, `${what}.`, HINT);
  }
}
