/** Mine: the best passages that nobody judged become negatives for the next training. */
import { mkdir } from "node:fs/promises";
import { formatFloat32 } from "../data/index.js";
import type { PreparedSource, Qrels } from "../data/types.js";
import type { MineConfig } from "../experiment/schema.js";
import { writeFileDurably } from "../rundir/durable.js";
import type { RunContext } from "./context.js";
import { onceOnSource } from "./prepare.js";
import { retrieve } from "./retrieve.js";
import { type ModelChoice, requireQrels } from "./step.js";
import type { Throughput } from "./summary.js";
import type { TopK } from "./top-k.js";

/** What mining wrote; the path is relative to the run folder. */
export interface MineResult {
  readonly negatives: string;
  readonly negativeCount: number;
  readonly queryCount: number;
  readonly throughput: Throughput;
}

/**
 * Mines hard negatives for every judged query and writes them as a qrels TSV (query id, passage id, similarity) that a
 * source reads as its `qrels`.
 */
export async function mineStep(context: RunContext, model: ModelChoice): Promise<MineResult> {
  const options = context.config.mine;
  if (options === undefined) throw new TypeError("the experiment has no mine section");
  const step = `mine-${model.label}`;
  return onceOnSource(context, step, { name: "mine", data: options.data }, async (source) => {
    const qrels = requireQrels(source, "mine.data");
    await mkdir(context.runDir.file(step), { recursive: true });
    const { ranked, throughput } = await retrieve(context, {
      phase: step,
      folder: step,
      model,
      source,
      queryRows: qrels.queryRows,
      topK: options.topK,
    });
    const { lines, fewQueries } = negativeLines(ranked, source, qrels, options);
    if (fewQueries > 0) {
      context.events.emit({
        type: "warning",
        message: `${fewQueries} of ${ranked.queryCount} queries have fewer than ${options.negativesPerQuery} negatives among their ${ranked.topK} best passages`,
        hint: "Raise mine.topK or lower mine.skipTop.",
      });
    }
    const negatives = `${step}/negatives.tsv`;
    await writeFileDurably(context.runDir.file(negatives), ["query-id\tcorpus-id\tscore", ...lines, ""].join("\n"));
    return { negatives, negativeCount: lines.length, queryCount: ranked.queryCount, throughput };
  });
}

/** Chooses each query's negatives: in rank order, after the skipped ones, without any annotated passage. */
function negativeLines(
  ranked: TopK,
  source: PreparedSource,
  qrels: Qrels,
  options: MineConfig,
): { readonly lines: string[]; readonly fewQueries: number } {
  const lines: string[] = [];
  let fewQueries = 0;
  for (let query = 0; query < ranked.queryCount; query++) {
    const queryRow = qrels.queryRows[query] as number;
    const annotated = new Set(qrels.annotated(queryRow).rows);
    let taken = 0;
    for (let rank = options.skipTop; rank < ranked.topK && taken < options.negativesPerQuery; rank++) {
      const at = query * ranked.topK + rank;
      const row = ranked.rows[at] as number;
      if (row < 0) break;
      if (annotated.has(row)) continue;
      lines.push(
        `${source.queries.id(queryRow)}\t${source.passages.qualifiedId(row)}\t${formatFloat32(ranked.scores[at] as number)}`,
      );
      taken++;
    }
    if (taken < options.negativesPerQuery) fewQueries++;
  }
  return { lines, fewQueries };
}
