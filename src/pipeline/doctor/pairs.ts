/** The pairs that an experiment's cross-encoders will score: how many there are, and samples of them for the Python half. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pairUnits, permuted, prepareSource } from "../../data/index.js";
import { type InspectedData, isEvaluated, isRun } from "../../data/inspect/inspected.js";
import type { DataContext, PreparedSource } from "../../data/types.js";
import { refreshTargets } from "../../experiment/refresh.js";
import type { CrossEncoderConfig, ExperimentConfig, MineConfig, SearchDataConfig } from "../../experiment/schema.js";
import { positivesIn } from "../mining/cases.js";
import { rerankDepth } from "../rerank.js";

/** Queries of a sample: each with a relevant passage and with a random one. */
const QUERIES = 128;

/** Pairs of one data set; mirrors PairSample in py_runtime/quarry_runtime/doctor/work.py. */
export interface PairSample {
  readonly name: string;
  readonly file: string;
  readonly judged: number;
}

/** A data set of which pairs are scored. */
export interface PairSet extends PairSample {
  /** Null where they are scored beside a training, as often as that says. */
  readonly pairCount: number | null;
}

/** A cross-encoder of the experiment. */
export interface CrossPatient {
  /** Path of its options, e.g. "rerank". */
  readonly path: string;
  readonly model: CrossEncoderConfig;
  readonly sets: readonly PairSet[];
}

interface Scored {
  readonly path: string;
  readonly data: SearchDataConfig;
  /** The queries whose passages are scored, all of them, and the pairs of one query, by and large. */
  readonly queries: (source: PreparedSource) => Int32Array;
  readonly count: ((source: PreparedSource, queries: Int32Array, positives: number) => number) | null;
}

/** Every cross-encoder with a sample of its pairs. */
export async function sampleCrossEncoders(
  folder: string,
  config: ExperimentConfig,
  data: InspectedData,
  context: DataContext,
): Promise<CrossPatient[]> {
  const patients: CrossPatient[] = [];
  for (const { path, model, scored } of crossEncodersOf(config, data)) {
    const sets: PairSet[] = [];
    for (const [number, each] of scored.entries()) {
      const source = await prepareSource(each.data, context);
      try {
        const set = await sampleOf(source, each, join(folder, `${path}-${number}.arrow`));
        if (set !== null) sets.push(set);
      } finally {
        source.close();
      }
    }
    patients.push({ path, model, sets });
  }
  return patients;
}

function crossEncodersOf(config: ExperimentConfig, data: InspectedData) {
  const { evaluate, rerank, mine, train } = config;
  const found: { readonly path: string; readonly model: CrossEncoderConfig; readonly scored: readonly Scored[] }[] = [];
  const at = (isOwn: (path: string) => boolean) => data.searched.filter(({ path }) => isOwn(path) && !isRun(path));
  if (rerank !== undefined && evaluate !== undefined) {
    const sampled = evaluate.sampleQueries ?? Number.POSITIVE_INFINITY;
    const scored = at((path) => isEvaluated(path) && !path.startsWith("train.")).map(
      (set): Scored => ({
        ...set,
        queries: ({ qrels }) => qrels?.queryRows ?? new Int32Array(0),
        count: ({ searchRows }, { length }) =>
          Math.min(length, sampled) * Math.min(rerankDepth(rerank, evaluate), searchRows.length),
      }),
    );
    found.push({ path: "rerank", model: rerank, scored });
  }
  if (mine?.rescore !== undefined) {
    const scored = at((path) => path === "mine.data").map(({ path, data: mined }) => minedBy(path, mined, mine));
    found.push({ path: "mine.rescore.model", model: mine.rescore.model, scored });
  }
  const refreshed = train?.refresh?.mine.rescore;
  if (train?.refresh !== undefined && refreshed !== undefined && data.train !== null) {
    const own = at((path) => path === "train.refresh.mine.data")[0]?.data;
    const targets = refreshTargets({ data: data.train.data, refresh: train.refresh });
    const scored = targets.map(
      ({ path, mine: asked }): Scored => ({
        ...minedBy(own === undefined ? `${path}.positives` : "train.refresh.mine.data", own ?? asked.data, asked),
        count: null,
      }),
    );
    found.push({ path: "train.refresh.mine.rescore.model", model: refreshed.model, scored });
  }
  return found;
}

/** What a mine section scores: positives and candidates of each query. */
function minedBy(path: string, data: SearchDataConfig, mine: MineConfig): Scored {
  const { rescore, retrievers, includeModel, topK, rangeMin, rangeMax, queries } = mine;
  const lists = retrievers.reduce((sum, each) => sum + (each.topK ?? topK), includeModel ? topK : 0);
  const ranks = Math.min(rangeMax ?? lists, lists) - rangeMin;
  return {
    path,
    data,
    queries: ({ qrels, encodableQueries }) =>
      queries === "all" ? encodableQueries : (qrels?.queryRows ?? new Int32Array(0)),
    count: ({ searchRows }, { length }, positives) =>
      Math.round(length * (positives + Math.min(rescore?.topK ?? ranks, ranks, searchRows.length))),
  };
}

/** Null where there is nothing to score. */
async function sampleOf(
  source: PreparedSource,
  { path, queries, count }: Scored,
  file: string,
): Promise<PairSet | null> {
  const { passages, queries: texts, searchRows } = source;
  const all = queries(source);
  if (all.length === 0 || searchRows.length === 0) return null;
  const positivesOf = positivesIn(source);
  const chosen = Array.from({ length: Math.min(QUERIES, all.length) }, (_, place) => {
    const query = all[permuted(place, all.length, 0, 0)] as number;
    const positives = positivesOf(query);
    return { query, positives, other: otherOf(searchRows, place, positives) };
  });
  const judged = chosen.filter(({ positives }) => positives.length > 0);
  const others = [...judged, ...chosen.filter(({ positives }) => positives.length === 0)];
  const pairs = {
    queryRows: Int32Array.from([...judged, ...others], ({ query }) => query),
    passageRows: Int32Array.from([
      ...judged.map(({ positives }) => positives[0] as number),
      ...others.map(({ other }) => other),
    ]),
  };
  const length = pairs.queryRows.length;
  const numbers = Int32Array.from({ length }, (_, at) => at);
  await writeFile(file, pairUnits({ queries: texts, passages }, pairs, numbers, length).frame(0));
  const positives = chosen.reduce((sum, each) => sum + each.positives.length, 0) / chosen.length;
  return { name: path, file, judged: judged.length, pairCount: count?.(source, all, positives) ?? null };
}

/** A random passage that is not known to be relevant, always the same; any one where all are. */
function otherOf(searchRows: Int32Array, place: number, positives: readonly number[]): number {
  for (let at = place; at < place + searchRows.length; at += 1) {
    const row = searchRows[permuted(at % searchRows.length, searchRows.length, 1, 0)] as number;
    if (!positives.includes(row)) return row;
  }
  return searchRows[0] as number;
}
