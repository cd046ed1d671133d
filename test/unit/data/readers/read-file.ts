/** Reads one file through its format, as the data plane does, and gives plain values. */
import { formatOf } from "../../../../src/data/readers/formats.js";
import { InputFile } from "../../../../src/data/readers/input.js";
import { decode } from "../../../../src/data/readers/json-line.js";
import type { Role, SourceFile, Span } from "../../../../src/data/readers/reader.js";
import { newCollection } from "../collection.js";

export interface ReadOptions extends Partial<Omit<SourceFile, "path">> {
  readonly isLenient?: boolean;
}

export interface ReadResult {
  readonly format: string;
  /** `id|title|text`, `query|passage|score` or the id. */
  readonly records: string[];
  readonly lines: number[];
  /** `line: message` of what was left out. */
  readonly skipped: string[];
}

/** Writes a file into a new folder and reads it. */
export function readContent(
  name: string,
  content: string | Uint8Array,
  role: Role,
  options: ReadOptions = {},
): Promise<ReadResult> {
  return readPath(newCollection().write(name, content), role, options);
}

export async function readPath(path: string, role: Role, options: ReadOptions = {}): Promise<ReadResult> {
  const { isLenient = false, ...rest } = options;
  const file: SourceFile = { path, part: "all", scores: "labels", ...rest };
  const format = await formatOf(file, role);
  const input = new InputFile(path, { isLenient });
  const records: string[] = [];
  const lines: number[] = [];
  const skipped: string[] = [];
  input.onBadLine((line, message) => skipped.push(`${line}: ${message}`));
  const take = (line: number, ...spans: (Span | number)[]): void => {
    records.push(spans.map((span) => (typeof span === "number" ? String(span) : decode(span))).join("|"));
    lines.push(line);
  };
  if (role === "qrels") {
    await format.readJudgements?.(input, file, ({ line, query, passage, score }) => take(line, query, passage, score));
  } else if (role === "ids") await format.readIds?.(input, file, ({ line, id }) => take(line, id));
  else {
    await format.readTexts?.(input, file, role, ({ line, id, title, text, prompt }) =>
      format.hasPrompts === true ? take(line, id, title, text, prompt) : take(line, id, title, text),
    );
  }
  return { format: format.name, records, lines, skipped };
}
