/** Replaces what only stands for files by the files: embedded collections, files on the hub. */
import { checkFetched, hubFilesOf, hubPath, isHubUrl, missingHubFiles } from "../data/index.js";
import type { FilesConfig, SearchDataConfig, SourceConfig, TrainingDataConfig } from "../experiment/schema.js";
import { mapSearch, mapTraining, searchSources, trainingSources } from "../experiment/sources.js";
import { type ResolveContext, resolveEmbedded } from "./embedded.js";
import { runtimeAnswer } from "./runtime-command.js";

/** Resolves what is evaluated, mined or encoded. */
export async function resolveSearch(context: ResolveContext, data: SearchDataConfig): Promise<SearchDataConfig> {
  const sources = searchSources(data, "").map(([, source]) => source);
  await fetchHubFiles(context, sources);
  return mapSearch(data, (source) => resolveEmbedded(context, onDisk(source)));
}

/** Resolves training data. */
export async function resolveTraining<Data extends TrainingDataConfig>(
  context: ResolveContext,
  data: Data,
): Promise<Data> {
  const sources = trainingSources(data, "").map(([, source]) => source);
  await fetchHubFiles(context, sources);
  return mapTraining(data, (source) => resolveEmbedded(context, onDisk(source)));
}

/**
 * Fetches what the hub's cache lacks of these sources; what it has costs a look at the file system.
 *
 * @throws QuarryError ENVIRONMENT that lists every file that is missing, when there is no network or it is not there.
 */
export async function fetchHubFiles(context: ResolveContext, sources: readonly SourceConfig[]): Promise<void> {
  const missing = missingHubFiles(hubFilesOf(sources));
  if (missing.length === 0) return;
  const purpose = "the files on the hub could not be fetched";
  checkFetched(missing, await runtimeAnswer(context, "fetch", [], purpose, JSON.stringify(missing)));
}

function onDisk(source: SourceConfig): SourceConfig {
  const { corpus, queries, qrels, querySubset } = source;
  return {
    ...source,
    corpus: located(corpus),
    ...(queries === undefined ? {} : { queries: located(queries) }),
    ...(qrels === undefined ? {} : { qrels: located(qrels) }),
    ...(querySubset === undefined ? {} : { querySubset: located(querySubset) }),
  };
}

function located(files: FilesConfig): FilesConfig {
  if (Array.isArray(files)) return files.map((file) => located(file) as string);
  if (typeof files === "string") return isHubUrl(files) ? hubPath(files) : files;
  return isHubUrl(files.path) ? { ...files, path: hubPath(files.path) } : files;
}
