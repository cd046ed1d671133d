/** How many terminal columns a text takes, and texts cut or filled to an exact number of columns. */
import { stripVTControlCharacters } from "node:util";

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });
const zeroWidth = /^[\p{Mn}\p{Me}\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]+$/u;
// Written as a string because the "v" flag is newer than the compiler's target; Node 20 has it.
const emoji = new RegExp("^\\p{RGI_Emoji}$", "v");

/** First and last code point of each block that East Asian Width calls wide or full-width. */
const wideBlocks = [
  [0x1100, 0x115f],
  [0x231a, 0x231b],
  [0x2329, 0x232a],
  [0x23e9, 0x23ec],
  [0x2630, 0x2637],
  [0x268a, 0x268f],
  [0x2e80, 0x303e],
  [0x3041, 0x3247],
  [0x3250, 0xa4cf],
  [0xa960, 0xa97c],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe10, 0xfe19],
  [0xfe30, 0xfe6b],
  [0xff01, 0xff60],
  [0xffe0, 0xffe6],
  [0x16fe0, 0x18dff],
  [0x1aff0, 0x1b2fb],
  [0x1d300, 0x1d376],
  [0x1f200, 0x1f265],
  [0x20000, 0x3fffd],
] as const;

function codePointWidth(character: string): number {
  const point = character.codePointAt(0) ?? 0;
  // Vowels and final consonants of Korean written in parts join the first one's two columns.
  if (zeroWidth.test(character) || (point >= 0x1160 && point <= 0x11ff)) return 0;
  return wideBlocks.some(([first, last]) => point >= first && point <= last) ? 2 : 1;
}

function graphemeWidth(grapheme: string): number {
  if (grapheme.length === 1 && grapheme < "\u0300") return zeroWidth.test(grapheme) ? 0 : 1;
  if (emoji.test(grapheme)) return 2;
  let width = 0;
  for (const character of grapheme) width += codePointWidth(character);
  return width;
}

/** Columns that a text without escape codes takes in a terminal; a Chinese character takes two. */
export function displayWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += graphemeWidth(segment);
  return width;
}

/** How wide each column is: its widest cell. One loop: an argument for each row would be too many in a long table. */
export function columnWidths(rows: readonly (readonly string[])[]): number[] {
  const widths = (rows[0] ?? []).map(() => 0);
  for (const row of rows) {
    for (let at = 0; at < widths.length; at += 1) {
      widths[at] = Math.max(widths[at] as number, displayWidth(row[at] ?? ""));
    }
  }
  return widths;
}

/**
 * Rows in columns as wide as their widest cell, a line each.
 *
 * @param isRight which columns end in one place, as numbers do; default: all but the first
 */
export function alignedLines(
  rows: readonly (readonly string[])[],
  isRight: (column: number) => boolean = (column) => column > 0,
): string[] {
  const widths = columnWidths(rows);
  return rows.map((row) =>
    widths
      .map((width, at) => fit(row[at] ?? "", width, isRight(at) ? "right" : "left"))
      .join("  ")
      .trimEnd(),
  );
}

/** Cuts a text to at most `columns`, ending in "…" where something was cut. */
export function truncate(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  if (columns <= 0) return "";
  let width = 0;
  let kept = "";
  for (const { segment } of graphemes.segment(text)) {
    width += graphemeWidth(segment);
    if (width > columns - 1) break;
    kept += segment;
  }
  return `${kept}…`;
}

/** Cuts or fills a text to exactly `columns`. */
export function fit(text: string, columns: number, align: "left" | "right" = "left"): string {
  const cut = truncate(text, columns);
  const blanks = " ".repeat(Math.max(0, columns - displayWidth(cut)));
  return align === "left" ? cut + blanks : blanks + cut;
}

/**
 * One line of visible characters out of any text: escape codes, control and direction characters would let a file name
 * or a worker's message repaint the terminal.
 */
export function oneLine(text: string): string {
  return stripVTControlCharacters(text)
    .replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]+/gu, " ")
    .trim();
}

/** The same for a text of several lines, which keep their indentation. */
export function cleanLines(text: string): string {
  return text
    .split("\n")
    .map((line) => (/^ */.exec(line)?.[0] ?? "") + oneLine(line))
    .join("\n");
}
