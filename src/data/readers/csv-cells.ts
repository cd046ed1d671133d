/** Cuts CSV into cells by RFC 4180: quoted cells may hold separators, doubled quotes and line ends. */
import { dataError } from "../failures.js";
import { GrowingBytes } from "../storage/growing.js";
import { ByteSearch } from "./byte-search.js";
import { addCell, type CellCutter, fillCells, newCells } from "./cells.js";
import { readLines } from "./lines.js";

const QUOTE = 0x22;
const CR = 0x0d;
const LF = Buffer.from("\n");
const CRLF = Buffer.from("\r\n");
/** A record beyond this is a quote that nobody closed. */
const MAX_RECORD_BYTES = 1 << 28;
const HINT = 'In CSV a quote inside a quoted cell is written twice, e.g. "say ""yes""".';

export function cutCsv(separator: number): CellCutter {
  return async (input, onCells) => {
    const cells = newCells();
    const quotes = new ByteSearch(QUOTE);
    const separators = new ByteSearch(separator);
    // What a record with quotes says once they are off; its cells are cut while it is copied here.
    const content = new GrowingBytes();
    let openedAt = 0;
    let isOpen = false;
    let isBroken = false;
    let cellStart = 0;

    const endCell = (): void => {
      addCell(cells, cellStart, content.length);
      cellStart = content.length;
    };

    /** Copies a line that has quotes, or begins inside of some, and returns whether the record ends with it. */
    const copy = (bytes: Buffer, start: number, end: number): boolean => {
      let at = start;
      for (;;) {
        if (isOpen) {
          const quote = quotes.find(bytes, at, end);
          if (quote === -1) {
            content.append(bytes, at, end);
            return false;
          }
          content.append(bytes, at, quote);
          at = quote + 1;
          if (at < end && bytes[at] === QUOTE) {
            content.append(bytes, at, at + 1);
            at += 1;
            continue;
          }
          isOpen = false;
          if (at < end && bytes[at] !== separator) {
            if (!isBroken) input.fault(openedAt, "text follows after the closing quote of a cell.", HINT);
            isBroken = true;
          }
        } else if (at < end && bytes[at] === QUOTE) {
          isOpen = true;
          at += 1;
          continue;
        }
        // What is left of a cell outside quotes; a quote in its middle is a character as any other.
        const found = separators.find(bytes, at, end);
        const to = found === -1 ? end : found;
        content.append(bytes, at, to);
        endCell();
        if (to === end) return true;
        at = to + 1;
      }
    };

    const take = (bytes: Buffer, start: number, end: number, line: number): void => {
      if (!isOpen) {
        if (start === end) return;
        openedAt = line;
        if (quotes.find(bytes, start, end) === -1) {
          fillCells(cells, bytes, start, end, separators);
          if (!isBroken) onCells(cells, line);
          isBroken = false;
          return;
        }
        cells.count = content.length = cellStart = 0;
      }
      if (!copy(bytes, start, end)) {
        // The bytes behind a line are its end: a line end inside quotes belongs to the text as it is written.
        const lineEnd = bytes[end] === CR ? CRLF : LF;
        content.append(lineEnd, 0, lineEnd.byteLength);
        if (content.length > MAX_RECORD_BYTES) throw unclosed(input.path, openedAt);
        return;
      }
      cells.bytes = content.bytes;
      if (!isBroken) onCells(cells, openedAt);
      isBroken = false;
    };

    await readLines(input, take, {
      keepsEmpty: true,
      // A refused line was reported; its quotes still say where the record ends.
      onRefused: (bytes, start, end, line) => {
        isBroken = true;
        take(bytes, start, end, line);
      },
    });
    if (isOpen) throw unclosed(input.path, openedAt);
  };
}

function unclosed(path: string, line: number): Error {
  return dataError(path, line, "a quote is opened in this record and never closed.", HINT);
}
