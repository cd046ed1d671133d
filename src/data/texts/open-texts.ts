/** Opens files of passages or queries as one table, building its cache entry where there is none. */
import { basename } from "node:path";
import { openEntry, type SourceStamp } from "../cache/entry.js";
import { changedError, stampSource } from "../cache/source-stamp.js";
import { type FindingKind, judge, named, policyOf } from "../findings.js";
import { formatKey, formatOf } from "../readers/formats.js";
import { InputFile } from "../readers/input.js";
import type { Format, SourceFile } from "../readers/reader.js";
import type { DataContext } from "../types.js";
import { buildTexts, type TextsContent, textsContent } from "./build.js";
import { StoredTexts } from "./stored-texts.js";
import { TEXTS_VERSION } from "./table-writer.js";

const HINTS: Partial<Record<FindingKind, string>> = {
  badLines: "Mend these lines.",
  duplicateIds: "Give each record an id of its own, or remove the repeated lines.",
  emptyTexts: "Check these records.",
};

/**
 * @param files absolute, in order; together they make one table.
 * @throws QuarryError CONFIG, DATA or ENVIRONMENT.
 */
export async function openTexts(
  files: readonly SourceFile[],
  role: "corpus" | "queries",
  context: DataContext,
): Promise<StoredTexts> {
  const { cacheDir, signal } = context;
  const formats: Format[] = [];
  const stamps: SourceStamp[] = [];
  for (const file of files) {
    stamps.push(await stampSource(file.path, cacheDir, signal));
    formats.push(await formatOf(file, role));
  }
  const isLenient = policyOf(context, "badLines") !== "error";
  const paths = files.map(({ path }) => path);
  const keys = files.map((file, index) => formatKey(formats[index] as Format, file));
  const opened = await openEntry<TextsContent, { table: StoredTexts; content: TextsContent }>(cacheDir, {
    kind: "texts",
    key: [TEXTS_VERSION, role, ...keys, ...stamps.map(({ sha256 }) => sha256)],
    reader: [...new Set(formats.map(({ name }) => name))].join(" "),
    sources: stamps,
    content: textsContent,
    async build(folder) {
      const inputs = files.map((file, index) => {
        const size = stamps[index]?.size ?? 0;
        return { file, format: formats[index] as Format, size, input: inputOf(file.path, size, context, isLenient) };
      });
      const totalBytes = stamps.reduce((sum, { size }) => sum + size, 0);
      const label = `${basename(paths[0] as string)}: index`;
      const built = await buildTexts(inputs, role, folder, {
        signal,
        onFinishing: (share) =>
          context.onProgress?.({ label, lines: 0, bytes: Math.floor(share * totalBytes), totalBytes }),
      });
      for (const [index, path] of paths.entries()) {
        const after = await stampSource(path, cacheDir, signal);
        if (after.sha256 !== stamps[index]?.sha256) throw changedError(path);
      }
      return built;
    },
    open: (folder, content, onDamage) => ({ table: new StoredTexts(folder, content, paths, onDamage), content }),
  });
  try {
    for (const found of opened.content.findings) judge(context, named(found, paths, HINTS[found.kind] ?? ""));
  } catch (thrown) {
    opened.table.close();
    throw thrown;
  }
  return opened.table;
}

/** A source file whose reading shows as progress. */
export function inputOf(path: string, totalBytes: number, context: DataContext, isLenient: boolean): InputFile {
  const label = basename(path);
  return new InputFile(path, {
    signal: context.signal,
    isLenient,
    onProgress: ({ lines, bytes }) => context.onProgress?.({ label, lines, bytes, totalBytes }),
  });
}
