/** Makes sources ready: finds their files, builds what the cache lacks, opens the rest, puts several under one numbering. */
import { createHash } from "node:crypto";
import { counted } from "../counted.js";
import { QuarryError } from "../errors.js";
import type { MergeRule, SearchDataConfig, SourceConfig } from "../experiment/schema.js";
import { policyOf } from "./findings.js";
import { MaterializedQrels } from "./qrels/materialized.js";
import { mergeSources } from "./qrels/merge-sources.js";
import type { MergedQrels, Side } from "./qrels/merged.js";
import { openQrels } from "./qrels/open-qrels.js";
import { refuseOtherTexts } from "./qrels/query-conflicts.js";
import { repeatedQueries, rowOfSame } from "./qrels/query-links.js";
import { onlyRelevant, type PositivesOf, positivesOf } from "./qrels/relevant.js";
import { RowSet } from "./qrels/row-set.js";
import { openSubset, type Subset } from "./qrels/subset.js";
import { countUp } from "./random.js";
import type { SourceFile } from "./readers/reader.js";
import { keepRows } from "./rows.js";
import { listFiles, sourceFiles } from "./source-files.js";
import { openTexts } from "./texts/open-texts.js";
import type { StoredTexts } from "./texts/stored-texts.js";
import { styleKey, styleOf } from "./texts/style.js";
import { TextPool } from "./texts/text-pool.js";
import type { DataContext, PreparedSource } from "./types.js";

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
  /** Rows of queries that the validation leaves out, or the subset of a source without judgements, ascending. */
  readonly leftOutQueries: Int32Array;
  /** Hash over texts, judgements and the options that shape them. */
  readonly fingerprint: string;
  close(): void;
}

/** What a source is opened for. */
interface Use {
  /** Keeps the random choices of several sources apart; default 0. */
  readonly stream?: number;
  /** Whether it is combined with others: without qrels it then has no queries but those that it names. */
  readonly isPart?: boolean;
  /** The view whose positives it judges; null for anything else. */
  readonly view?: PositivesOf | null;
}

/** Opens a source. */
export async function openSource(source: SourceConfig, context: DataContext, use: Use = {}): Promise<OpenedSource> {
  try {
    return await openOnce(source, context, use);
  } catch (thrown) {
    // Damage found on the way in took the manifest off the entry, so a second call builds it again.
    if (thrown instanceof QuarryError && thrown.code === "INTEGRITY") return openOnce(source, context, use);
    throw thrown;
  }
}

async function openOnce(
  source: SourceConfig,
  context: DataContext,
  { stream = 0, isPart = false, view = null }: Use,
): Promise<OpenedSource> {
  const config = view === null ? source : onlyRelevant(source);
  const found = sourceFiles(config, context.baseDir);
  // Queries that happen to lie beside a corpus are nobody's where the corpus only adds its passages to others.
  const isPool = isPart && config.qrels === undefined && config.queries === undefined;
  const files = isPool ? { ...found, queries: null } : found;
  const opened: { close(): void }[] = [];
  const close = (): void => {
    for (const part of opened) part.close();
  };
  try {
    const passages = await openTexts(withExtras(files.corpus, config.extras?.passage), "corpus", context);
    opened.push(passages);
    const asked = files.queries === null ? null : withExtras(files.queries, config.extras?.query);
    const queries = asked === null ? null : await openTexts(asked, "queries", context);
    if (queries !== null) opened.push(queries);
    else if (files.querySubset !== null) throw nothingToChoose(config);
    const isDropped = policyOf(context, "emptyTexts") === "drop";
    const leftOut = isDropped ? Int32Array.from(passages.emptyRows) : new Int32Array(0);
    const leftOutQueries = isDropped ? Int32Array.from(queries?.emptyRows ?? []) : new Int32Array(0);
    const subsetOf = async (table: StoredTexts): Promise<Subset | null> =>
      files.querySubset === null ? null : openSubset(files.querySubset, table, context);
    const shapeOf = ({ name, corpus: _c, queries: _q, qrels: _j, querySubset: _s, ...options }: SourceConfig) => ({
      options,
      // Otherwise a name is for people alone.
      ...(options.extras?.sourceName === true ? { name } : {}),
      leftOut: leftOut.length,
      leftOutQueries: leftOutQueries.length,
    });
    const common = { config, passages, queries, leftOut, leftOutQueries, close };
    if (queries === null || files.qrels.length === 0) {
      // Of judged queries a subset keeps the judgements; where nothing is judged, it is the queries themselves.
      const subset = queries === null ? null : await subsetOf(queries);
      const parts = [passages.fingerprint, queries?.fingerprint ?? null, shapeOf(config)];
      const fingerprint = JSON.stringify(subset === null ? parts : [...parts, subset.fingerprint]);
      const out = subset === null ? leftOutQueries : rowsOutside(subset, leftOutQueries, queries?.rowCount ?? 0);
      return { ...common, leftOutQueries: out, qrels: null, qrelsKey: null, fingerprint };
    }
    const { stored, fingerprint } = await openQrels(files.qrels, { queries, passages }, context);
    opened.push(stored);
    const algebra = view === null ? config : positivesOf(view, source, stored);
    const subset = await subsetOf(queries);
    const qrels = new MaterializedQrels({
      stored,
      queries,
      passages,
      subset: rowsWithout(subset?.rows ?? null, leftOutQueries, queries.rowCount),
      leftOut,
      algebra,
      seed: context.seed,
      stream,
    });
    const whole = JSON.stringify([fingerprint, subset?.fingerprint ?? null, shapeOf(algebra)]);
    return { ...common, config: algebra, qrels, qrelsKey: fingerprint, fingerprint: whole };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

function nothingToChoose({ corpus, name }: SourceConfig): QuarryError {
  const source = name ?? listFiles(corpus)[0]?.path;
  return new QuarryError("CONFIG", `${source}: querySubset chooses among queries, but this source has none.`, {
    hint: "Name their file with queries (a source without qrels that is combined with others takes none from beside its corpus), or leave querySubset out.",
  });
}

/** Files whose records keep further fields for plugins. */
function withExtras(files: readonly SourceFile[], extras: readonly string[] | undefined): readonly SourceFile[] {
  return extras === undefined ? files : files.map((file) => ({ ...file, extras }));
}

/** Rows that a subset does not hold, and those left out, ascending. */
function rowsOutside({ rows }: Subset, leftOut: Int32Array, rowCount: number): Int32Array {
  const inside = new RowSet(rowsWithout(rows, leftOut, rowCount) ?? rows, rowCount);
  return keepRows(countUp(rowCount), (row) => !inside.has(row));
}

/** The rows of a subset (null: all) but those left out; null where that is all of them. */
function rowsWithout(subset: Int32Array | null, leftOut: Int32Array, rowCount: number): Int32Array | null {
  if (leftOut.length === 0) return subset;
  const out = new RowSet(leftOut, rowCount);
  return keepRows(subset ?? countUp(rowCount), (row) => !out.has(row));
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

/**
 * Opens one source or several combined.
 *
 * @param view whose positives they judge, so that each judgement that counts makes one; null for anything else.
 */
export async function openSources(
  data: SearchDataConfig,
  context: DataContext,
  place: Surroundings = { queries: new TextPool(), passages: new TextPool(), stream: 0 },
  view: PositivesOf | null = null,
): Promise<OpenedSources> {
  const configs = data.kind === "combined" ? data.sources : [data];
  const rule: MergeRule = data.kind === "combined" ? data.merge : "last";
  const sources: OpenedSource[] = [];
  const close = (): void => {
    for (const source of sources) source.close();
  };
  try {
    for (const [index, config] of configs.entries()) {
      const use = { stream: place.stream + index, isPart: configs.length > 1, view };
      sources.push(await openSource(config, context, use));
    }
    const isMerged = view !== null && configs.length > 1;
    const compared = place.queries.parts.length;
    const sides = sources.flatMap((source, index): Side[] => {
      const passageOffset = place.passages.add(source.passages, styleOf(source.config, "passage"), source.config.name);
      if (source.queries !== null) place.queries.add(source.queries, styleOf(source.config, "query"));
      if (source.qrels === null || source.queries === null) return [];
      const config = configs[index] as SourceConfig;
      const judged = isMerged ? new MaterializedQrels({ ...source.qrels.parts, algebra: config }) : undefined;
      return [{ source: config, qrels: source.qrels, judged, queries: source.queries, passageOffset }];
    });
    refuseOtherTexts(place.queries, compared);
    const qrels = sides.length === 0 ? null : mergeSources(place.queries, sides, rule, context);
    const parts = sources.map((source) => source.fingerprint);
    const fingerprint =
      parts.length === 1 ? (parts[0] as string) : JSON.stringify([rule, parts, ...(isMerged ? ["above 0"] : [])]);
    return { sources, queries: place.queries, passages: place.passages, qrels, fingerprint, close };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

/**
 * Makes one source or several ready, building what the cache lacks.
 *
 * @throws QuarryError CONFIG, DATA or ENVIRONMENT.
 */
export async function prepareSource(data: SearchDataConfig, context: DataContext): Promise<PreparedSource> {
  const opened = await openSources(data, context);
  const { passages, queries, qrels, close } = opened;
  try {
    refuseTwoStyles(opened);
    if (qrels !== null && qrels.queryRows.length === 0) throw nothingKept(opened, data);
    const fingerprint = createHash("sha256").update(opened.fingerprint).digest("hex");
    const [searchRows, encodableQueries] = [passagesLeft(opened), queriesLeft(opened)];
    return { passages, queries, searchRows, encodableQueries, qrels, fingerprint, close };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

/** Searched twice, a passage would be a rival of itself, and its judgements would count for one of the two only. */
function refuseTwoStyles({ sources, passages }: OpenedSources): void {
  const tables = passages.parts.map(({ table }) => table.fingerprint);
  const twice = tables.find((table, at) => tables.indexOf(table) !== at);
  if (twice === undefined) return;
  const own = sources.filter((source) => source.passages.fingerprint === twice).map(({ config }) => config);
  const corpora = [...new Set(own.flatMap(({ corpus }) => listFiles(corpus).map(({ path }) => path)))].join(", ");
  throw new QuarryError("CONFIG", `${corpora}: sources give the same passages different prompts or templates.`, {
    hint: "Give all sources of this corpus the same prompts.passage and templates.passage.",
  });
}

/** Numbers of the passages that the validation leaves in. */
function passagesLeft({ sources, passages }: OpenedSources): Int32Array {
  const isOut = new Uint8Array(passages.rowCount);
  for (const { passages: table, leftOut, config } of sources) {
    if (leftOut.length === 0) continue;
    const offset = passages.add(table, styleOf(config, "passage"));
    for (const row of leftOut) isOut[row + offset] = 1;
  }
  return rowsBut(isOut);
}

/** Numbers of the queries that some source does not leave out, each once: an id in a later table is the query it was. */
function queriesLeft({ sources, queries }: OpenedSources): Int32Array {
  const isOut = new Uint8Array(queries.rowCount);
  for (const { number, part, first } of repeatedQueries(queries)) {
    if (styleKey({ ...part.style, source: null }) !== styleKey({ ...first.style, source: null })) {
      const query = `${queries.origin(number).file}: query ${JSON.stringify(queries.id(number))}`;
      throw new QuarryError("CONFIG", `${query} is asked with different prompts or templates by two sources.`, {
        hint: "Give all sources that hold these queries the same prompts.query and templates.query.",
      });
    }
    isOut[number] = 1;
  }
  const asking = sources.flatMap(({ queries: table, leftOutQueries, config }) =>
    table === null
      ? []
      : [{ table, config, leftOut: leftOutQueries, isOut: new RowSet(leftOutQueries, table.rowCount) }],
  );
  for (const { table, config, leftOut } of asking) {
    if (leftOut.length === 0) continue;
    const offset = queries.add(table, styleOf(config, "query"));
    for (const row of leftOut) {
      // What one source leaves out, another may ask.
      const isAsked = asking.some((other) => {
        const own = rowOfSame(table, row, other.table);
        return own !== -1 && !other.isOut.has(own);
      });
      if (!isAsked) isOut[row + offset] = 1;
    }
  }
  return rowsBut(isOut);
}

/** @param isOut 1 for each number that is left out: a subset of many queries leaves out more than a set may hold. */
function rowsBut(isOut: Uint8Array): Int32Array {
  const all = countUp(isOut.length);
  return isOut.includes(1) ? keepRows(all, (row) => isOut[row] === 0) : all;
}

function nothingKept({ sources }: OpenedSources, data: SearchDataConfig): QuarryError {
  const configs = data.kind === "combined" ? data.sources : [data];
  const paths = configs.flatMap(({ qrels }) => listFiles(qrels ?? []).map(({ path }) => path));
  const stored = sources.flatMap(({ qrels }) => qrels?.parts.stored.content ?? []);
  if (stored.every(({ judgementCount }) => judgementCount === 0)) {
    const read = stored.reduce((sum, { readCount }) => sum + readCount, 0);
    const all = read === 1 ? "the only judgement names" : `all ${counted(read, "judgements")} name`;
    return new QuarryError("DATA", `${paths.join(", ")}: ${all} unknown ids.`, {
      hint: "Are the columns of query and passage swapped? Or do corpus, queries and qrels not belong together?",
    });
  }
  return new QuarryError("DATA", `${paths.join(", ")}: no judgement is left after the filters.`, {
    hint: "Widen minScore (inclusive) and maxScore (exclusive), look at querySubset and filter, or take another file.",
  });
}
