/** Makes sources ready: finds their files, builds what the cache lacks, opens the rest, puts several under one numbering. */
import { createHash } from "node:crypto";
import { QuarryError } from "../errors.js";
import type { MergeRule, SearchDataConfig, SourceConfig } from "../experiment/schema.js";
import { policyOf } from "./findings.js";
import { MaterializedQrels } from "./qrels/materialized.js";
import { mergeSources } from "./qrels/merge-sources.js";
import type { MergedQrels, Side } from "./qrels/merged.js";
import { openQrels } from "./qrels/open-qrels.js";
import { openSubset } from "./qrels/subset.js";
import { countUp } from "./random.js";
import { sourceFiles } from "./source-files.js";
import { emptyTexts } from "./texts/empty-texts.js";
import { openTexts } from "./texts/open-texts.js";
import type { StoredTexts } from "./texts/stored-texts.js";
import { styleOf } from "./texts/style.js";
import { TextPool } from "./texts/text-pool.js";
import type { DataContext, PreparedSource, PrepareSource } from "./types.js";

/** What the data plane itself knows of a source. */
export interface OpenedSource {
  readonly config: SourceConfig;
  readonly passages: StoredTexts;
  /** Null where the source has none: a corpus that is only searched or encoded. */
  readonly queries: StoredTexts | null;
  readonly qrels: MaterializedQrels | null;
  /** Names the stored judgements and their tables, whatever the algebra says; null where there are none. */
  readonly qrelsKey: string | null;
  /** Rows of passages that the validation leaves out, ascending. */
  readonly leftOut: Int32Array;
  /** Hash over texts, judgements and the options that shape them. */
  readonly fingerprint: string;
  close(): void;
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

async function openOnce(config: SourceConfig, context: DataContext, stream: number): Promise<OpenedSource> {
  const files = sourceFiles(config, context.baseDir);
  const opened: { close(): void }[] = [];
  const close = (): void => {
    for (const part of opened) part.close();
  };
  try {
    const passages = await openTexts(files.corpus, "corpus", context);
    opened.push(passages);
    const queries = files.queries === null ? null : await openTexts(files.queries, "queries", context);
    if (queries !== null) opened.push(queries);
    const leftOut =
      policyOf(context, "emptyTexts") === "drop" ? Int32Array.from(passages.emptyRows) : new Int32Array(0);
    const { name: _name, corpus: _c, queries: _q, qrels: _j, querySubset: _s, ...options } = config;
    const shape = { options, leftOut: leftOut.length };
    if (queries === null || files.qrels.length === 0) {
      const fingerprint = JSON.stringify([passages.fingerprint, queries?.fingerprint ?? null, shape]);
      return { config, passages, queries, qrels: null, qrelsKey: null, leftOut, fingerprint, close };
    }
    const { stored, fingerprint } = await openQrels(files.qrels, { queries, passages }, context);
    opened.push(stored);
    const subset = files.querySubset === null ? null : await openSubset(files.querySubset, queries, context);
    const qrels = new MaterializedQrels({
      stored,
      queries,
      passages,
      subset: subset?.rows ?? null,
      leftOut,
      algebra: config,
      seed: context.seed,
      stream,
    });
    const whole = JSON.stringify([fingerprint, subset?.fingerprint ?? null, shape]);
    return { config, passages, queries, qrels, qrelsKey: fingerprint, leftOut, fingerprint: whole, close };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

/** Several sources under one numbering of queries and one of passages. */
export interface OpenedSources {
  readonly sources: readonly OpenedSource[];
  readonly queries: TextPool;
  readonly passages: TextPool;
  /** Null where no source has judgements. */
  readonly qrels: MergedQrels | null;
  readonly fingerprint: string;
  close(): void;
}

/** Where sources get their place: pools that several sets share, and the first stream that is free. */
export interface Surroundings {
  readonly queries: TextPool;
  readonly passages: TextPool;
  readonly stream: number;
}

/** Opens one source or several combined. */
export async function openSources(
  data: SearchDataConfig,
  context: DataContext,
  place: Surroundings = { queries: new TextPool(), passages: new TextPool(), stream: 0 },
): Promise<OpenedSources> {
  const configs = data.kind === "combined" ? data.sources : [data];
  const rule: MergeRule = data.kind === "combined" ? data.merge : "last";
  const sources: OpenedSource[] = [];
  const close = (): void => {
    for (const source of sources) source.close();
  };
  try {
    for (const [index, config] of configs.entries())
      sources.push(await openSource(config, context, place.stream + index));
    const sides = sources.flatMap((source): Side[] => {
      const passageOffset = place.passages.add(source.passages, styleOf(source.config, "passage"), source.config.name);
      if (source.queries !== null) place.queries.add(source.queries, styleOf(source.config, "query"));
      if (source.qrels === null || source.queries === null) return [];
      return [{ qrels: source.qrels, queries: source.queries, passageOffset }];
    });
    const qrels = sides.length === 0 ? null : mergeSources(place.queries, sides, rule, context);
    const parts = sources.map((source) => source.fingerprint);
    const fingerprint = parts.length === 1 ? (parts[0] as string) : JSON.stringify([rule, parts]);
    return { sources, queries: place.queries, passages: place.passages, qrels, fingerprint, close };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

/** Makes one source or several ready; see PrepareSource in types.ts. */
export const prepareSource: PrepareSource = async (data, context): Promise<PreparedSource> => {
  const opened = await openSources(data, context);
  const { passages, queries, qrels, close } = opened;
  try {
    if (qrels !== null && qrels.queryRows.length === 0) throw nothingKept(data);
    const fingerprint = createHash("sha256").update(opened.fingerprint).digest("hex");
    const searchRows = rowsLeft(opened);
    return { passages, queries: queries.rowCount === 0 ? emptyTexts : queries, searchRows, qrels, fingerprint, close };
  } catch (thrown) {
    close();
    throw thrown;
  }
};

/** Numbers of the passages that the validation leaves in. */
function rowsLeft({ sources, passages }: OpenedSources): Int32Array {
  const out = new Set<number>();
  for (const { passages: table, leftOut, config } of sources) {
    if (leftOut.length === 0) continue;
    const offset = passages.add(table, styleOf(config, "passage"));
    for (const row of leftOut) out.add(row + offset);
  }
  const all = countUp(passages.rowCount);
  return out.size === 0 ? all : all.filter((row) => !out.has(row));
}

function nothingKept(data: SearchDataConfig): QuarryError {
  const configs = data.kind === "combined" ? data.sources : [data];
  const files = configs.flatMap(({ qrels }) => (qrels === undefined ? [] : [qrels].flat()));
  const paths = files.map((file) => (typeof file === "string" ? file : file.path));
  return new QuarryError("DATA", `${paths.join(", ")}: no judgement is left after the filters.`, {
    hint: "Widen minScore (inclusive) and maxScore (exclusive), look at querySubset and filter, or take another file.",
  });
}
