/** Reads texts for writing as the worker gets them: templates applied, prompts of their own beside them. */
import { gatheredStrings } from "../../../data/index.js";
import type { TextTable } from "../../../data/types.js";
import type { MinedText } from "./entry.js";

/** The texts of these rows, each read once. */
export function readTexts(table: TextTable, rows: Iterable<number>): Map<number, MinedText> {
  const wanted = Int32Array.from(new Set(rows)).sort();
  const found = new Map<number, MinedText>();
  if (wanted.length === 0) return found;
  const columns = gatheredStrings(table.gather(wanted));
  const [titles, texts, prompts] = [columns("title"), columns("text"), columns("prompt")];
  for (const [at, row] of wanted.entries()) {
    const title = titles?.(at) ?? "";
    const text = texts?.(at) ?? "";
    found.set(row, { title, text, whole: title === "" ? text : `${title} ${text}`, prompt: prompts?.(at) ?? null });
  }
  return found;
}
