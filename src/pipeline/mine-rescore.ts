/** The cross-encoder of a mining step, opened on the workers. */
import { mkdir } from "node:fs/promises";
import type { PreparedSource } from "../data/types.js";
import type { MineConfig } from "../experiment/schema.js";
import type { RunContext } from "./context.js";
import { CrossScorer } from "./cross-scorer.js";
import type { Rescore } from "./mining/pass.js";

/** Pairs of one call: enough for many workers, few enough to hold. */
const PAIRS_AT_ONCE = 500_000;
/** Positives of a query, by and large. */
const POSITIVES = 8;

/** Null where no cross-encoder was asked for. Whoever opens it closes its scorer. */
export async function openRescore(
  context: RunContext,
  step: string,
  source: PreparedSource,
  options: MineConfig,
): Promise<(Rescore & { readonly scorer: CrossScorer }) | null> {
  const { rescore } = options;
  if (rescore === undefined) return null;
  const folder = `${step}/rescore`;
  await mkdir(context.runDir.file(folder), { recursive: true });
  const scorer = await CrossScorer.open(context, {
    phase: folder,
    folder,
    crossEncoder: rescore.model,
    tables: source,
  });
  const lists = options.retrievers.reduce((sum, { topK }) => sum + (topK ?? options.topK), 0);
  const candidates = Math.min(rescore.topK ?? Number.POSITIVE_INFINITY, options.topK + lists);
  return { rules: rescore, scorer, queriesAtOnce: Math.ceil(PAIRS_AT_ONCE / (candidates + POSITIVES)) };
}
