/** Opens a file of passages or queries as a table, building its cache entry where there is none. */
import { basename } from "node:path";
import { openEntry } from "../cache/entry.js";
import { changedError, stampSource } from "../cache/source-stamp.js";
import { counted } from "../failures.js";
import { textReaderOf } from "../readers/formats.js";
import { InputFile } from "../readers/input.js";
import type { DataContext } from "../types.js";
import { places, warn } from "../warnings.js";
import { buildTexts, TEXTS_VERSION, type TextsContent, textsContent } from "./build.js";
import { StoredTexts } from "./stored-texts.js";

/**
 * @param path absolute.
 * @throws QuarryError CONFIG, DATA or ENVIRONMENT.
 */
export async function openTexts(path: string, context: DataContext): Promise<StoredTexts> {
  const { cacheDir, signal } = context;
  const reader = textReaderOf(path);
  const stamp = await stampSource(path, cacheDir, signal);
  const opened = await openEntry<TextsContent, { table: StoredTexts; content: TextsContent }>(cacheDir, {
    kind: "texts",
    key: [TEXTS_VERSION, reader.format, stamp.sha256],
    reader: reader.format,
    sources: [stamp],
    content: textsContent,
    async build(folder) {
      const built = await buildTexts(inputOf(path, stamp.size, context), reader, folder);
      const after = await stampSource(path, cacheDir, signal);
      if (after.sha256 !== stamp.sha256) throw changedError(path);
      return built;
    },
    open: (folder, content, onDamage) => ({ table: new StoredTexts(folder, content, path, onDamage), content }),
  });
  const { emptyTextCount, emptyTextLines } = opened.content;
  if (emptyTextCount > 0) {
    const where = places(path, emptyTextLines, emptyTextCount);
    warn(context, `${counted(emptyTextCount, "record has", "records have")} an empty text: ${where}.`, null);
  }
  return opened.table;
}

/** A source file whose reading shows as progress. */
export function inputOf(path: string, totalBytes: number, context: DataContext): InputFile {
  const label = basename(path);
  return new InputFile(path, {
    signal: context.signal,
    onProgress: ({ lines, bytes }) => context.onProgress?.({ label, lines, bytes, totalBytes }),
  });
}
