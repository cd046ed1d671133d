/** Cuts a file into lines of bytes: LF or CRLF ends, one byte order mark left off, everything else that is odd refused. */
import { isUtf8 } from "node:buffer";
import { dataError } from "../failures.js";
import type { InputFile } from "./input.js";

const LF = 10;
const CR = 13;
/** A longer line is a file that is no line-wise file at all. */
const MAX_LINE_BYTES = 1 << 28;

/** Takes the line [start, end) of `bytes`, without its end; valid during the call only. Other contents are another `bytes`. */
export type LineHandler = (bytes: Buffer, start: number, end: number, line: number) => void;

/** What formats whose records may take several lines need to know. */
export interface LineOptions {
  /** Whether empty lines are handed on, too. */
  readonly keepsEmpty?: boolean;
  /** Gets the lines that were refused (bad encoding, NUL, lone carriage return) where bad lines are left out. */
  readonly onRefused?: LineHandler;
}

/**
 * Calls `onLine` for every line that is not empty. A line with bad UTF-8, NUL or a lone carriage return is a fault of
 * the input.
 *
 * @throws QuarryError DATA for an empty file, damaged gzip, a line beyond 256 MiB.
 */
export async function readLines(input: InputFile, onLine: LineHandler, options: LineOptions = {}): Promise<void> {
  const cutter = new LineCutter(input, onLine, options);
  let fault: string | null = null;
  for await (const chunk of input.chunks((reason) => (fault = reason))) cutter.push(chunk);
  cutter.finish(fault);
}

/** The lines as strings, one by one. */
export async function* lineTexts(input: InputFile): AsyncGenerator<{ readonly text: string; readonly line: number }> {
  let ready: { text: string; line: number }[] = [];
  const cutter = new LineCutter(input, (bytes, start, end, line) => {
    ready.push({ text: bytes.toString("utf8", start, end), line });
  });
  let fault: string | null = null;
  for await (const chunk of input.chunks((reason) => (fault = reason))) {
    cutter.push(chunk);
    yield* ready;
    ready = [];
  }
  cutter.finish(fault);
  yield* ready;
}

/** Holds what is left of a line until its end has come. */
class LineCutter {
  #pending: Buffer = Buffer.alloc(0);
  #filled = 0;
  #line = 0;
  #isAtStart = true;

  constructor(
    private readonly input: InputFile,
    private readonly onLine: LineHandler,
    private readonly options: LineOptions = {},
  ) {}

  push(chunk: Uint8Array): void {
    if (this.#filled + chunk.byteLength > this.#pending.byteLength) {
      const larger = Buffer.allocUnsafe(Math.max(this.#pending.byteLength * 2, this.#filled + chunk.byteLength));
      this.#pending.copy(larger, 0, 0, this.#filled);
      this.#pending = larger;
    }
    const pending = this.#pending;
    pending.set(chunk, this.#filled);
    const before = this.#filled;
    this.#filled += chunk.byteLength;
    if (this.#isAtStart && this.#filled >= 3) {
      this.#isAtStart = false;
      if (pending[0] === 0xef && pending[1] === 0xbb && pending[2] === 0xbf) {
        pending.copyWithin(0, 3, this.#filled);
        this.#filled -= 3;
      }
    }
    // What was there before holds no line end: only the new bytes are searched, or a long line would take forever.
    const last = pending.subarray(Math.max(0, before - 3), this.#filled).lastIndexOf(LF);
    if (last === -1) {
      if (this.#filled <= MAX_LINE_BYTES) return;
      const what = `the line is longer than ${MAX_LINE_BYTES >> 20} MiB.`;
      throw dataError(this.input.path, this.#line + 1, what, "Put one record on each line.");
    }
    const end = Math.max(0, before - 3) + last + 1;
    this.#cut(end);
    pending.copyWithin(0, end, this.#filled);
    this.#filled -= end;
    this.input.report(this.#line);
  }

  /** @param fault why the content ends early, if it does. */
  finish(fault: string | null): void {
    if (fault !== null) {
      throw dataError(this.input.path, this.#line + 1, `${fault}.`, "Fetch or compress the file again.");
    }
    this.#cut(this.#filled);
    this.input.report(this.#line);
  }

  #cut(to: number): void {
    const bytes = this.#pending.subarray(0, to);
    const isClean = isUtf8(bytes) && !bytes.includes(0);
    const hasReturns = bytes.includes(CR);
    const keepsEmpty = this.options.keepsEmpty === true;
    for (let start = 0; start < to; ) {
      const found = bytes.indexOf(LF, start);
      const hasEnd = found !== -1;
      const next = hasEnd ? found + 1 : to;
      let end = hasEnd ? found : to;
      this.#line += 1;
      if (hasEnd && hasReturns && end > start && bytes[end - 1] === CR) end -= 1;
      if ((!isClean || hasReturns) && this.#isRefused(start, end))
        this.options.onRefused?.(bytes, start, end, this.#line);
      else if (end > start || keepsEmpty) this.onLine(bytes, start, end, this.#line);
      start = next;
    }
  }

  #isRefused(start: number, end: number): boolean {
    const slice = this.#pending.subarray(start, end);
    const nul = slice.indexOf(0);
    const [what, hint] =
      nul !== -1
        ? [`a NUL byte at column ${nul + 1}.`, "Remove it, or save the file as UTF-8."]
        : !isUtf8(slice)
          ? ["the line is not valid UTF-8.", "Save the file as UTF-8, e.g. with `iconv -t UTF-8`."]
          : slice.includes(CR)
            ? [
                "a carriage return stands alone inside the line.",
                "End lines with LF or CRLF; `tr '\\r' '\\n'` mends files from old Macs.",
              ]
            : [null, ""];
    if (what === null) return false;
    this.input.fault(this.#line, what, hint);
    return true;
  }
}
