/** Rerank: the best passages of an evaluation's run file, scored once more by a cross-encoder and measured again. */
import { mkdir } from "node:fs/promises";
import type { PreparedSource } from "../data/types.js";
import type { EvaluateConfig, RerankConfig } from "../experiment/schema.js";
import { setsOf } from "../experiment/sources.js";
import { fileDigest } from "../file-digest.js";
import type { RunContext } from "./context.js";
import { CrossScorer } from "./cross-scorer.js";
import { type EvaluateResult, filesOfSet, type SetResult } from "./evaluation-result.js";
import { measure } from "./measure.js";
import { onceOnSource } from "./prepare.js";
import { quickLook, stateError } from "./quick-look.js";
import { rankHeads, readRanking } from "./ranking.js";
import { recordEvaluation, tellMetrics } from "./record-metrics.js";
import { type ModelChoice, modelName, requireQrels } from "./step.js";
import { writeQrels, writeRankings } from "./trec.js";

/** Stands behind the name of whatever was ranked again. */
export const RERANKED = "+rerank";

const DEFAULT_TOP_K = 100;

/** Passages of each query that are scored again. */
export function rerankDepth({ topK = DEFAULT_TOP_K }: RerankConfig, evaluate: Pick<EvaluateConfig, "topK">): number {
  return Math.min(topK, evaluate.topK);
}

/**
 * Ranks an evaluation's runs again, unless that was done before with the same runs; null without a rerank section.
 *
 * The stage reads the run files and nothing else of the evaluation, so it may be added to a finished one.
 */
export async function rerankStep(
  context: RunContext,
  evaluate: EvaluateConfig,
  model: ModelChoice,
  first: EvaluateResult,
): Promise<EvaluateResult | null> {
  const { rerank } = context.config;
  if (rerank === undefined) return null;
  const evaluated = {
    step: `evaluate-${model.label}${RERANKED}`,
    label: `${modelName(model)}, ranked again`,
  };
  const sets: EvaluateResult["sets"][number][] = [];
  for (const set of setsOf(evaluate.data, "evaluate.data")) {
    const measured = first.sets.find(({ name }) => name === set.name);
    if (measured === undefined) continue;
    const inside = set.name === null ? "" : `/${set.name}`;
    const run = context.runDir.file(measured.run);
    const also = await fileDigest(run);
    const use = { name: `rerank${inside}`, data: set.data, also };
    const options = { ...evaluate, measures: [...(set.measures ?? evaluate.measures)] };
    const folder = evaluated.step + inside;
    const again = (source: PreparedSource): Promise<SetResult> =>
      rerankSource(context, { run, folder, source, rerank, evaluate: options, path: set.path });
    const result = await onceOnSource(context, `rerank-${model.label}${inside}`, use, again, filesOfSet);
    tellMetrics(context, { ...evaluated, step: folder }, set.name, result);
    sets.push({ ...result, name: set.name });
  }
  return recordEvaluation(context, evaluated, sets);
}

interface RerankWork {
  /** The first stage's run file. */
  readonly run: string;
  readonly folder: string;
  readonly source: PreparedSource;
  readonly rerank: RerankConfig;
  readonly evaluate: EvaluateConfig;
  /** Where the data stands in the experiment. */
  readonly path: string;
}

async function rerankSource(context: RunContext, work: RerankWork): Promise<SetResult> {
  const { folder, evaluate, rerank } = work;
  const { seed } = context.config;
  // The queries and passages of the first stage, or the two would not be compared but their data.
  const looked = quickLook(work.source, requireQrels(work.source, work.path), evaluate, seed, work.path);
  const { source, qrels, part, ofQueries } = looked;
  await mkdir(context.runDir.file(folder), { recursive: true });
  const files = {
    run: context.runDir.file(folder, "run.trec"),
    qrels: context.runDir.file(folder, "qrels.trec"),
    out: context.runDir.file(folder, "per-query.json"),
  };
  await writeQrels(files.qrels, qrels, source);
  const rankings = await readRanking(work.run, source);
  const depth = rerankDepth(rerank, evaluate);
  const scorer = await CrossScorer.open(context, { phase: folder, folder, crossEncoder: rerank, tables: source });
  try {
    await rankHeads(rankings, qrels.queryRows, depth, scorer, source.passages.idRanks);
    await writeRankings(files.run, (query) => rankings.get(query), qrels.queryRows, source, context.config.name);
    const measured = await measure(
      context,
      files,
      ofQueries === null ? evaluate : { ...evaluate, intervalsSeed: seed },
    );
    const stated = { step: folder, files, measured, part, ofQueries, rerankDepth: depth };
    return {
      values: measured.mean,
      queryCount: measured.queryCount,
      throughput: { texts: scorer.scoredCount, seconds: scorer.seconds },
      run: `${folder}/run.trec`,
      ...(await stateError(context, stated, evaluate)),
    };
  } finally {
    await scorer.close();
  }
}
