/** Cuts a file into lines of bytes: LF or CRLF ends, one byte order mark left off, everything else that is odd refused. */
import { isUtf8 } from "node:buffer";
import { dataError, fileError } from "../failures.js";
import type { InputFile } from "./input.js";

const LF = 10;
const CR = 13;
/** A longer line is a file that is no line-wise file at all. */
const MAX_LINE_BYTES = 1 << 28;

/** Takes the line [start, end) of `bytes`, without its end; valid during the call only. */
export type LineHandler = (bytes: Buffer, start: number, end: number, line: number) => void;

/**
 * Calls `onLine` for every line that is not empty.
 *
 * @throws QuarryError DATA for an empty file, bad UTF-8, NUL, a lone carriage return, damaged gzip.
 */
export async function readLines(input: InputFile, onLine: LineHandler): Promise<void> {
  const file = input.path;
  let pending: Buffer = Buffer.alloc(0);
  let filled = 0;
  let line = 0;
  let isAtStart = true;
  let hasBytes = false;
  let fault: string | null = null;

  const handle = (bytes: Buffer, from: number, to: number): void => {
    const isClean = isUtf8(bytes.subarray(from, to)) && !hasByte(bytes, 0, from, to);
    const hasReturns = hasByte(bytes, CR, from, to);
    for (let start = from; start < to; ) {
      const found = bytes.indexOf(LF, start);
      const next = found === -1 || found >= to ? to : found + 1;
      const hasEnd = bytes[next - 1] === LF;
      let end = hasEnd ? next - 1 : next;
      line += 1;
      if (hasEnd && end > start && bytes[end - 1] === CR) end -= 1;
      if (!isClean) refuseBytes(bytes, start, end, file, line);
      if (hasReturns && hasByte(bytes, CR, start, end)) {
        throw dataError(
          file,
          line,
          "a carriage return stands alone inside the line.",
          "End lines with LF or CRLF; `tr '\\r' '\\n'` mends files from old Macs.",
        );
      }
      if (end > start) onLine(bytes, start, end, line);
      start = next;
    }
  };

  for await (const chunk of input.chunks((reason) => (fault = reason))) {
    hasBytes ||= chunk.byteLength > 0;
    if (filled + chunk.byteLength > pending.byteLength) {
      const larger = Buffer.allocUnsafe(Math.max(pending.byteLength * 2, filled + chunk.byteLength));
      pending.copy(larger, 0, 0, filled);
      pending = larger;
    }
    pending.set(chunk, filled);
    filled += chunk.byteLength;
    if (isAtStart && filled >= 3) {
      isAtStart = false;
      if (pending[0] === 0xef && pending[1] === 0xbb && pending[2] === 0xbf) {
        pending.copyWithin(0, 3, filled);
        filled -= 3;
      }
    }
    const last = pending.subarray(0, filled).lastIndexOf(LF);
    if (last === -1) {
      if (filled > MAX_LINE_BYTES) throw tooLong(file, line + 1);
      continue;
    }
    handle(pending, 0, last + 1);
    pending.copyWithin(0, last + 1, filled);
    filled -= last + 1;
    input.report(line);
  }
  if (fault !== null) {
    throw dataError(file, line + 1, `${fault as string}.`, "Fetch or compress the file again.");
  }
  if (!hasBytes) throw fileError(file, "the file is empty.", "Give a file with at least one record.");
  handle(pending, 0, filled);
  input.report(line);
}

function hasByte(bytes: Buffer, byte: number, from: number, to: number): boolean {
  return bytes.subarray(from, to).includes(byte);
}

function refuseBytes(bytes: Buffer, start: number, end: number, file: string, line: number): void {
  const slice = bytes.subarray(start, end);
  const nul = slice.indexOf(0);
  if (nul !== -1) {
    throw dataError(file, line, `a NUL byte at column ${nul + 1}.`, "Remove it, or save the file as UTF-8.");
  }
  if (!isUtf8(slice)) {
    throw dataError(file, line, "the line is not valid UTF-8.", "Save the file as UTF-8, e.g. with `iconv -t UTF-8`.");
  }
}

function tooLong(file: string, line: number): Error {
  return dataError(file, line, `the line is longer than ${MAX_LINE_BYTES >> 20} MiB.`, "Put one record on each line.");
}
