/** Makes a source ready: finds its files, builds what the cache lacks, opens the rest. */
import { existsSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { QuarryError } from "../errors.js";
import type { SourceConfig } from "../experiment/schema.js";
import { MaterializedQrels } from "./qrels/materialized.js";
import { openQrels } from "./qrels/open-qrels.js";
import { emptyTexts } from "./texts/empty-texts.js";
import { openTexts } from "./texts/open-texts.js";
import type { StoredTexts } from "./texts/stored-texts.js";
import type { DataContext, PreparedSource, PrepareSource } from "./types.js";

/** What the data plane itself knows of a source. */
export interface OpenedSource {
  readonly passages: StoredTexts;
  /** Null where the source has none: a corpus that is only encoded. */
  readonly queries: StoredTexts | null;
  readonly qrels: MaterializedQrels | null;
  /** Hash over texts, judgements and the options that shape them. */
  readonly fingerprint: string;
  close(): void;
}

/** Paths of a source's files, absolute. */
interface SourcePaths {
  readonly corpus: string;
  readonly queries: string | null;
  readonly qrels: readonly string[];
}

/**
 * Where a source's files are: relative paths start at `baseDir`, a folder stands for the corpus.jsonl in it, and
 * queries default to the queries.jsonl beside the corpus.
 */
function sourcePaths(source: SourceConfig, baseDir: string): SourcePaths {
  const corpus = inFolder(resolve(baseDir, source.corpus), "corpus.jsonl");
  const qrels = source.qrels === undefined ? [] : [source.qrels].flat().map((path) => resolve(baseDir, path));
  const beside = inFolder(dirname(corpus), "queries.jsonl");
  const queries =
    source.queries !== undefined
      ? inFolder(resolve(baseDir, source.queries), "queries.jsonl")
      : qrels.length > 0 || existsSync(beside)
        ? beside
        : null;
  return { corpus, queries, qrels };
}

function inFolder(path: string, name: string): string {
  if (!(statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false)) return path;
  const file = join(path, name);
  return !existsSync(file) && existsSync(`${file}.gz`) ? `${file}.gz` : file;
}

/** Opens a source; `stream` keeps the random choices of several sources apart. */
export async function openSource(source: SourceConfig, context: DataContext, stream = 0): Promise<OpenedSource> {
  try {
    return await openOnce(source, context, stream);
  } catch (thrown) {
    // Damage found on the way in took the manifest off the entry, so a second call builds it again.
    if (thrown instanceof QuarryError && thrown.code === "INTEGRITY") return openOnce(source, context, stream);
    throw thrown;
  }
}

async function openOnce(source: SourceConfig, context: DataContext, stream: number): Promise<OpenedSource> {
  const paths = sourcePaths(source, context.baseDir);
  const opened: { close(): void }[] = [];
  const close = (): void => {
    for (const part of opened) part.close();
  };
  try {
    const passages = await openTexts(paths.corpus, context);
    opened.push(passages);
    const queries = paths.queries === null ? null : await openTexts(paths.queries, context);
    if (queries !== null) opened.push(queries);
    const { minScore, maxScore, scoreTransform, groupRandomK } = source;
    const options = { minScore, maxScore, scoreTransform, groupRandomK };
    if (queries === null || paths.qrels.length === 0) {
      const fingerprint = JSON.stringify([passages.fingerprint, queries?.fingerprint ?? null]);
      return { passages, queries, qrels: null, fingerprint, close };
    }
    const { stored, fingerprint } = await openQrels(paths.qrels, { queries, passages }, context);
    opened.push(stored);
    const qrels = new MaterializedQrels(stored, options, context.seed, stream);
    if (qrels.queryRows.length === 0) throw nothingKept(paths.qrels);
    return { passages, queries, qrels, fingerprint: JSON.stringify([fingerprint, options]), close };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

/** Makes a source ready; see PrepareSource in types.ts. */
export const prepareSource: PrepareSource = async (source, context): Promise<PreparedSource> => {
  const { queries, ...opened } = await openSource(source, context);
  return { ...opened, queries: queries ?? emptyTexts };
};

function nothingKept(paths: readonly string[]): QuarryError {
  return new QuarryError("DATA", `${paths.join(", ")}: no judgement passes minScore and maxScore.`, {
    hint:
      "Widen minScore (inclusive; positives without one need a score above 0) and maxScore (exclusive), or take " +
      "another file.",
  });
}
