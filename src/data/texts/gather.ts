/** Copies the bytes of chosen rows into one Arrow IPC stream; no string is decoded. */
import { frameTexts, Pieces } from "./pieces.js";
import type { StoredTexts } from "./stored-texts.js";
import { fill, type TextStyle, withSource } from "./style.js";

const NOTHING = new Uint8Array(0);

/** A table in a numbering of several: its row r has the number `offset` + r. */
export interface TablePart {
  readonly table: StoredTexts;
  readonly offset: number;
  readonly style: TextStyle;
}

/** The table that holds a number; parts are ascending by offset. */
export function partOf(parts: readonly TablePart[], number: number): TablePart {
  for (let index = parts.length - 1; index >= 0; index -= 1) {
    const part = parts[index] as TablePart;
    if (number >= part.offset && number < part.offset + part.table.rowCount) return part;
  }
  throw new RangeError(`row ${number} is in none of ${parts.length} tables`);
}

/**
 * An Arrow IPC stream of one batch with row:int32 (number + rowOffset), idRank:int32, title:utf8, text:utf8, and
 * prompt:utf8 where a part's style or a record of it has a prompt (null: the model's own), and extras:utf8, a JSON object
 * or null, where plugins get further fields.
 *
 * @param numbers rows in the numbering of `parts`.
 * @param ranks rank of each number's id among all, or null where nobody asks.
 * @throws QuarryError INTEGRITY when a row is damaged, CONFIG when a column takes 2 GiB or more.
 */
export function gatherTexts(
  parts: readonly TablePart[],
  numbers: Int32Array,
  rowOffset: number,
  ranks: Int32Array | null,
): Uint8Array {
  const count = numbers.length;
  for (const part of parts) part.table.prepare(rowsIn(part, numbers, parts.length));
  const titles = new Pieces(count);
  const texts = new Pieces(count);
  const hasPrompts = parts.some(({ table, style }) => style.prompt !== null || table.hasPrompts);
  const hasExtras = parts.some(({ table, style }) => style.source !== null || table.hasExtras);
  // Extras come with a column of prompts, so that there are three kinds of streams and not four.
  const prompts = hasPrompts || hasExtras ? new Pieces(count) : null;
  const extras = hasExtras ? new Pieces(count) : null;
  for (let at = 0; at < count; at += 1) {
    const number = numbers[at] as number;
    const { table, offset, style } = partOf(parts, number);
    const row = number - offset;
    const { title, text } = table.textBytes(row);
    if (style.template === null) {
      titles.put(at, title);
      texts.put(at, text);
    } else {
      titles.put(at, NOTHING);
      texts.put(at, fill(style.template, title, text));
    }
    prompts?.put(at, table.promptBytes(row) ?? style.prompt);
    extras?.put(at, withSource(style, table.extrasBytes(row)));
  }
  const rows = rowOffset === 0 ? numbers : numbers.map((number) => number + rowOffset);
  const idRanks = ranks === null ? null : numbers.map((number) => ranks[number] as number);
  return frameTexts(
    rows,
    idRanks,
    [titles, texts, prompts, extras].filter((column) => column !== null),
  );
}

/** The rows of one table among numbers, in its own numbering. */
export function rowsIn({ table, offset }: TablePart, numbers: Int32Array, partCount: number): Int32Array {
  if (partCount === 1 && offset === 0) return numbers;
  return numbers
    .filter((number) => number >= offset && number < offset + table.rowCount)
    .map((number) => number - offset);
}
