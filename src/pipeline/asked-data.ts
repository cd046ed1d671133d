/** What each section searches or encodes, and what it asks of that: a look at the data asks the same as the step. */
import type { InspectedSearch } from "../data/inspect/inspected.js";
import type { PreparedSource } from "../data/types.js";
import { QuarryError } from "../errors.js";
import type { FilesConfig } from "../experiment/data-schema.js";
import { runsOf, type Section } from "../experiment/paths.js";
import type {
  EncodeConfig,
  EvaluateConfig,
  ExperimentConfig,
  MineConfig,
  SearchDataConfig,
  SourceConfig,
} from "../experiment/schema.js";
import { setsOf } from "../experiment/sources.js";
import { runSource } from "./mining/runs.js";
import { quickLook } from "./quick-look.js";
import { requireQrels } from "./step.js";
import { refuseTooMany } from "./top-k.js";

/** All that a section reads but what is trained on; the run files of its retrievers come last. */
export function askedBy(config: ExperimentConfig, section: Section): InspectedSearch[] {
  const runs = runsOf(config, section).map(([path, data, run]) => ({ path, data: runSource(data, run) }));
  return [...dataOf(config, section), ...runs];
}

function dataOf(config: ExperimentConfig, section: Section): InspectedSearch[] {
  const { mine, encode, search, train, seed } = config;
  switch (section) {
    case "evaluate":
      return evaluated(section, config.evaluate, seed);
    case "mine":
      return mine === undefined ? [] : [mined(section, mine.data, mine)];
    case "encode":
      if (encode === undefined) return [];
      return [{ path: "encode.data", data: encode.data, ask: (source) => rowsToEncode(source, encode) }];
    case "search":
      if (search === undefined) return [];
      if (search.texts !== undefined) return [{ path: "search.data", data: withQueries(search.data, []) }];
      return [{ path: "search.data", data: search.data, ask: queriesToSearch }];
    case "train": {
      // Negatives are mined from the positives' own source where nothing else is said.
      const refresh = train?.refresh?.mine;
      const refreshed = refresh?.data === undefined ? [] : [mined("train.refresh.mine", refresh.data, refresh)];
      return [...evaluated("train.evaluate", train?.evaluate, seed), ...refreshed];
    }
  }
}

type Evaluated = Pick<EvaluateConfig, "data" | "topK" | "subCorpus" | "sampleQueries">;

function evaluated(section: string, options: Evaluated | undefined, seed: number): InspectedSearch[] {
  if (options === undefined) return [];
  return setsOf(options.data, `${section}.data`).map(({ path, data }) => ({
    path,
    data,
    ask: (source) => {
      const look = quickLook(source, requireQrels(source, path), options, seed, path);
      refuseTooMany(look.qrels.queryRows.length, Math.min(options.topK, look.source.searchRows.length));
    },
  }));
}

function mined(section: string, data: MineConfig["data"], options: Pick<MineConfig, "queries">): InspectedSearch {
  return { path: `${section}.data`, data, ask: (source) => rowsToMine(source, options, section) };
}

/** Rows of the queries to mine for. @throws QuarryError DATA where there are none. */
export function rowsToMine(
  source: PreparedSource,
  { queries }: Pick<MineConfig, "queries">,
  section: string,
): Int32Array {
  const option = `${section}.data`;
  if (queries === "judged") return requireQrels(source, option).queryRows;
  if (source.encodableQueries.length > 0) return source.encodableQueries;
  throw new QuarryError("DATA", `${option}: there are no queries to mine for`, {
    hint: `Give ${option} a queries file.`,
  });
}

/** Rows of the texts to encode. @throws QuarryError CONFIG for a source without queries, DATA for one without texts. */
export function rowsToEncode(source: PreparedSource, { side }: Pick<EncodeConfig, "side">): Int32Array {
  if (side === "query" && source.queries.rowCount === 0) {
    throw new QuarryError("CONFIG", "encode.data has no queries", {
      hint: "Name their file with encode.data.queries.",
    });
  }
  const rows = side === "passage" ? source.searchRows : source.encodableQueries;
  if (rows.length > 0) return rows;
  throw new QuarryError("DATA", `encode.data has no ${side} with a text`, {
    hint: 'Check the file, or set validation.emptyTexts to "warn".',
  });
}

/** Data whose passages are searched for other queries than its own. */
export function withQueries(data: SearchDataConfig, queries: FilesConfig): SearchDataConfig {
  const replaced = ({ qrels: _qrels, querySubset: _querySubset, ...source }: SourceConfig) => ({ ...source, queries });
  return data.kind === "source" ? replaced(data) : { ...data, sources: data.sources.map(replaced) };
}

/** Rows of the queries to search for. @throws QuarryError DATA where there are none. */
export function queriesToSearch({ encodableQueries }: PreparedSource): Int32Array {
  if (encodableQueries.length > 0) return encodableQueries;
  throw new QuarryError("DATA", "search.data has no query with a text", {
    hint: "Name a file of queries with search.data.queries, or ask with --text.",
  });
}
