/** Opens files of judgements over two tables, building their cache entry where there is none. */
import { counted } from "../../counted.js";
import { openEntry } from "../cache/entry.js";
import { type FindingKind, judge, named } from "../findings.js";
import type { SourceFile } from "../readers/reader.js";
import { sourceReading } from "../source-reading.js";
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

const HINTS: Partial<Record<FindingKind, string>> = {
  badLines: "Mend these lines.",
  danglingIds: "Check that corpus, queries and qrels belong together, or remove these lines.",
};

/**
 * @param files absolute, in order: later files win.
 * @throws QuarryError CONFIG, DATA or ENVIRONMENT.
 */
export async function openQrels(
  files: readonly SourceFile[],
  tables: { readonly queries: StoredTexts; readonly passages: StoredTexts },
  context: DataContext,
): Promise<OpenedQrels> {
  const { cacheDir, signal } = context;
  const { paths, reader, stamps, inputs, refuseChanged, ...reading } = await sourceReading(files, "qrels", context);
  const key = [QRELS_VERSION, tables.queries.fingerprint, tables.passages.fingerprint, ...reading.key];
  const stored = await openEntry<QrelsContent, StoredQrels>(cacheDir, {
    kind: "qrels",
    key,
    reader,
    sources: stamps,
    basis: [tables.queries.fingerprint, tables.passages.fingerprint],
    content: qrelsContent,
    async build(folder) {
      const built = await buildQrels(inputs(), tables, folder, signal);
      await refuseChanged();
      return built;
    },
    open: (folder, content, onDamage) => new StoredQrels(folder, content, paths, onDamage),
  });
  try {
    for (const found of stored.content.findings) judge(context, named(found, paths, HINTS[found.kind] ?? ""));
  } catch (thrown) {
    stored.close();
    throw thrown;
  }
  const { repeatedCount, repeatedExamples } = stored.content;
  if (repeatedCount > 0) {
    const first = repeatedExamples[0]?.file ?? 0;
    const lines = repeatedExamples.filter(({ file }) => file === first).map(({ line }) => line);
    warn(
      context,
      `${counted(repeatedCount, "lines judge", "line judges")} a pair with another score than an earlier line of the ` +
        `same file: ${places(paths[first] as string, lines, repeatedCount)}. The later line counts.`,
      "Remove one of the two lines.",
    );
  }
  return { stored, fingerprint: key.join(" ") };
}
