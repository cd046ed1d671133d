/** Opens files of judgements over two tables, building their cache entry where there is none. */
import { openEntry, type SourceStamp } from "../cache/entry.js";
import { changedError, stampSource } from "../cache/source-stamp.js";
import { counted } from "../failures.js";
import { judgementReaderOf } from "../readers/formats.js";
import { inputOf } from "../texts/open-texts.js";
import type { StoredTexts } from "../texts/stored-texts.js";
import type { DataContext } from "../types.js";
import { places, warn } from "../warnings.js";
import { buildQrels, QRELS_VERSION, type QrelsContent, qrelsContent } from "./build.js";
import { StoredQrels } from "./stored-qrels.js";

/** Judgements ready to be filtered. */
export interface OpenedQrels {
  readonly stored: StoredQrels;
  /** Hash of the files, in order, and of the tables they speak about. */
  readonly fingerprint: string;
}

/**
 * @param paths absolute, in order: later files win.
 * @throws QuarryError CONFIG, DATA or ENVIRONMENT.
 */
export async function openQrels(
  paths: readonly string[],
  tables: { readonly queries: StoredTexts; readonly passages: StoredTexts },
  context: DataContext,
): Promise<OpenedQrels> {
  const { cacheDir, signal } = context;
  const readers = paths.map(judgementReaderOf);
  const stamps: SourceStamp[] = [];
  for (const path of paths) stamps.push(await stampSource(path, cacheDir, signal));
  const reader = [...new Set(readers.map(({ format }) => format))].join(" ");
  const hashes = stamps.map(({ sha256 }) => sha256);
  const key = [QRELS_VERSION, tables.queries.fingerprint, tables.passages.fingerprint, reader, ...hashes];
  const opened = await openEntry<QrelsContent, { stored: StoredQrels; content: QrelsContent }>(cacheDir, {
    kind: "qrels",
    key,
    reader,
    sources: stamps,
    content: qrelsContent,
    async build(folder) {
      const inputs = readers.map((each, index) => {
        const path = paths[index] as string;
        return { reader: each, input: inputOf(path, stamps[index]?.size ?? 0, context) };
      });
      const built = await buildQrels(inputs, tables, folder);
      for (const [index, path] of paths.entries()) {
        const after = await stampSource(path, cacheDir, signal);
        if (after.sha256 !== hashes[index]) throw changedError(path);
      }
      return built;
    },
    open: (folder, content, onDamage) => ({ stored: new StoredQrels(folder, content, paths, onDamage), content }),
  });
  const { repeatedCount, repeatedExamples } = opened.content;
  if (repeatedCount > 0) {
    const first = repeatedExamples[0]?.file ?? 0;
    const lines = repeatedExamples.filter(({ file }) => file === first).map(({ line }) => line);
    warn(
      context,
      `${counted(repeatedCount, "line judges", "lines judge")} a pair again that an earlier line of the same file ` +
        `judged: ${places(paths[first] as string, lines, repeatedCount)}. The later line counts.`,
      "Remove one of the two lines.",
    );
  }
  return { stored: opened.stored, fingerprint: key.join(" ") };
}
