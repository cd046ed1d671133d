/** Reads texts for writing as the worker gets them: templates applied, prompts of their own beside them. */
import { type Table, tableFromIPC, type Utf8 } from "apache-arrow";
import type { TextTable } from "../../../data/types.js";
import type { MinedText } from "./entry.js";

/** The texts of these rows, each read once. */
export function readTexts(table: TextTable, rows: Iterable<number>): Map<number, MinedText> {
  const wanted = Int32Array.from(new Set(rows)).sort();
  const found = new Map<number, MinedText>();
  if (wanted.length === 0) return found;
  const batch: Table<{ title: Utf8; text: Utf8; prompt: Utf8 }> = tableFromIPC(table.gather(wanted));
  const [titles, texts, prompts] = [batch.getChild("title"), batch.getChild("text"), batch.getChild("prompt")];
  for (const [at, row] of wanted.entries()) {
    const title = titles?.get(at) ?? "";
    const text = texts?.get(at) ?? "";
    found.set(row, { title, text, whole: title === "" ? text : `${title} ${text}`, prompt: prompts?.get(at) ?? null });
  }
  return found;
}
