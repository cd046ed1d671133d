/** Opens files of passages or queries as one table, building its cache entry where there is none. */
import { basename } from "node:path";
import { openEntry } from "../cache/entry.js";
import { type FindingKind, judge, named } from "../findings.js";
import type { SourceFile } from "../readers/reader.js";
import { sourceReading } from "../source-reading.js";
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
  const { paths, key, reader, stamps, inputs, refuseChanged } = await sourceReading(files, role, context);
  const opened = await openEntry<TextsContent, { table: StoredTexts; content: TextsContent }>(cacheDir, {
    kind: "texts",
    key: [TEXTS_VERSION, role, ...key],
    reader,
    sources: stamps,
    content: textsContent,
    async build(folder) {
      const totalBytes = stamps.reduce((sum, { size }) => sum + size, 0);
      const label = `${basename(paths[0] as string)}: index`;
      const built = await buildTexts(inputs(), role, folder, {
        signal,
        onFinishing: (share) =>
          context.onProgress?.({ label, lines: 0, bytes: Math.floor(share * totalBytes), totalBytes }),
      });
      await refuseChanged();
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
