/** Cuts lines into cells: at one separator or at any white space. */
import { ByteSearch } from "./byte-search.js";
import type { InputFile } from "./input.js";
import { readLines } from "./lines.js";

/** The cells of one record; the same object and buffers are used again for the next one. */
export interface Cells {
  bytes: Uint8Array;
  count: number;
  readonly starts: number[];
  readonly ends: number[];
}

/** Hands on each record of a file as cells, with the line that it begins at. */
export type CellCutter = (input: InputFile, onCells: (cells: Cells, line: number) => void) => Promise<void>;

export function newCells(): Cells {
  return { bytes: Buffer.alloc(0), count: 0, starts: [], ends: [] };
}

export function addCell(cells: Cells, start: number, end: number): void {
  cells.starts[cells.count] = start;
  cells.ends[cells.count] = end;
  cells.count += 1;
}

/** A cell as a string. */
export function cellText(cells: Cells, index: number): string {
  const start = cells.starts[index] as number;
  const { buffer, byteOffset } = cells.bytes;
  return Buffer.from(buffer, byteOffset + start, (cells.ends[index] as number) - start).toString("utf8");
}

/** All cells as strings, for headers and messages. */
export function cellTexts(cells: Cells): string[] {
  return Array.from({ length: cells.count }, (_, index) => cellText(cells, index));
}

/** Cells between separators; nothing is quoted. */
export function cutAt(separator: number): CellCutter {
  return (input, onCells) => {
    const cells = newCells();
    const separators = new ByteSearch(separator);
    return readLines(input, (bytes, start, end, line) => {
      fillCells(cells, bytes, start, end, separators);
      onCells(cells, line);
    });
  };
}

/** Cells of [start, end) of `bytes`. */
export function fillCells(cells: Cells, bytes: Buffer, start: number, end: number, separators: ByteSearch): void {
  cells.bytes = bytes;
  cells.count = 0;
  let from = start;
  for (;;) {
    const found = separators.find(bytes, from, end);
    if (found === -1) break;
    addCell(cells, from, found);
    from = found + 1;
  }
  addCell(cells, from, end);
}

/** Cells between spaces and tabs, however many; none at the ends of a line. */
export const cutAtWhiteSpace: CellCutter = (input, onCells) => {
  const cells = newCells();
  return readLines(input, (bytes, start, end, line) => {
    cells.bytes = bytes;
    cells.count = 0;
    for (let at = start; at < end; ) {
      while (at < end && isSpace(bytes[at] as number)) at += 1;
      const from = at;
      while (at < end && !isSpace(bytes[at] as number)) at += 1;
      if (at > from) addCell(cells, from, at);
    }
    onCells(cells, line);
  });
};

/** Space, tab, vertical tab, form feed; other control characters belong to a cell, where they are refused. */
function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0b || byte === 0x0c;
}

/** One cell a line: none holds a line end. */
export const wholeLines = cutAt(0x0a);
