/** What the reports on data share: the width they have, bars, and paths as short as they can be. */
import { displayWidth, fit, oneLine, truncate } from "../../report/text-width.js";

/** How a report may look. */
export interface Layout {
  /** Columns of the terminal. */
  readonly width: number;
  /** Whether block characters may be drawn. */
  readonly isTerminal: boolean;
  /** Texts are not cut. */
  readonly isFull: boolean;
  /** Paths below this folder are shown relative to it. */
  readonly folder: string;
}

const PIPED_WIDTH = 80;

/** What a stream allows. */
export function layoutOf(stream: NodeJS.WriteStream, isFull: boolean): Layout {
  const isTerminal = stream.isTTY === true;
  const width = isTerminal && stream.columns > 0 ? stream.columns : PIPED_WIDTH;
  return { width, isTerminal, isFull, folder: process.cwd() };
}

/** Any text without what could repaint the terminal, its paths relative to the working folder. */
export function plain(text: string, { folder }: Layout): string {
  return oneLine(folder === "/" ? text : text.replaceAll(`${folder}/`, ""));
}

/** A text behind an indentation, cut to the width unless all of it was asked for. */
export function cut(text: string, indent: number, layout: Layout): string {
  const line = oneLine(text);
  return " ".repeat(indent) + (layout.isFull ? line : truncate(line, layout.width - indent));
}

/** 1,234 → "1,234"; 0.25 → "0.25"; 3.14159 → "3.142". */
export function value(number: number): string {
  return number.toLocaleString("en-US", { maximumFractionDigits: Math.abs(number) < 100 ? 3 : 1 });
}

const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** A bar of at most `columns` for a share of 0 to 1; anything above 0 shows. Eighths of a column in a terminal. */
export function bar(share: number, columns: number, { isTerminal }: Layout): string {
  if (!(share > 0)) return "";
  if (!isTerminal) return "#".repeat(Math.max(1, Math.round(share * columns)));
  const eighths = Math.max(1, Math.round(share * columns * 8));
  return "█".repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] as string);
}

/** Two blocks of lines next to each other, or one below the other where there is no room. */
export function sideBySide(left: readonly string[], right: readonly string[], width: number): string[] {
  const leftWidth = Math.max(0, ...left.map((line) => displayWidth(line))) + 3;
  if (leftWidth + Math.max(0, ...right.map((line) => displayWidth(line))) > width) return [...left, ...right];
  return Array.from({ length: Math.max(left.length, right.length) }, (_, at) =>
    `${fit(left[at] ?? "", leftWidth)}${right[at] ?? ""}`.trimEnd(),
  );
}
