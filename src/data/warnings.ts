/** Warnings of the data plane: each once in a context, however often a source is opened. */
import { basename } from "node:path";
import { counted } from "../counted.js";
import type { DataContext } from "./types.js";

const told = new WeakMap<DataContext, Set<string>>();

/** Tells the context's listener, unless it has heard the same words before. */
export function warn(context: DataContext, message: string, hint: string | null): void {
  const before = told.get(context) ?? new Set();
  told.set(context, before);
  if (before.has(message)) return;
  before.add(message);
  context.onWarning?.(message, hint);
}

/** `corpus.jsonl:3, :7 and 5 more`. */
export function places(file: string, lines: readonly number[], count: number): string {
  const listed = lines.map((line, index) => (index === 0 ? `${basename(file)}:${line}` : `:${line}`)).join(", ");
  return count > lines.length ? `${listed} and ${counted(count - lines.length, "more")}` : listed;
}
