/** Quick looks: a part of the corpus, a part of the queries, chosen by seed and row numbers alone, with their error stated. */
import { keepRows, permuted } from "../data/index.js";
import type { PreparedSource, Qrels } from "../data/types.js";
import { QuarryError } from "../errors.js";
import type { EvaluateConfig } from "../experiment/schema.js";
import { formatCount } from "../report/format.js";
import type { RunContext } from "./context.js";
import type { SetResult } from "./evaluation-result.js";
import type { Measured } from "./measure.js";
import { runtimeAnswer } from "./runtime-command.js";

/** A measure with what it would be over all of the corpus or over all queries, and a 95 % interval of that. */
export interface Estimate {
  readonly measured: number;
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/** Which part of the corpus is searched. */
export interface CorpusPart {
  /** Passages that nobody judged: in the corpus, and in the part. */
  readonly unjudged: number;
  readonly sampled: number;
  /** Passages searched, and in the corpus. */
  readonly searched: number;
  readonly total: number;
}

/** A source of which a part is searched. */
export interface QuickLook {
  readonly source: PreparedSource;
  readonly qrels: Qrels;
  /** Null where all passages are searched. */
  readonly part: CorpusPart | null;
  /** How many judged queries there are, where only some are taken. */
  readonly ofQueries: number | null;
}

/**
 * Narrows a source to what a quick look asks for; without one it stays as it is.
 *
 * @param path of the data's option, for messages
 * @throws QuarryError CONFIG for a part that has no room beside the judged passages.
 */
export function quickLook(
  source: PreparedSource,
  qrels: Qrels,
  options: Pick<EvaluateConfig, "subCorpus" | "sampleQueries">,
  seed: number,
  path = "evaluate.data",
): QuickLook {
  const { subCorpus, sampleQueries } = options;
  const all = qrels.queryRows.length;
  const isSampled = sampleQueries !== undefined && sampleQueries < all;
  const chosen = isSampled ? narrowed(qrels, sampleOf(qrels.queryRows, sampleQueries, seed)) : qrels;
  const ofQueries = isSampled ? all : null;
  if (subCorpus === undefined || subCorpus.passages >= source.searchRows.length) {
    return { source, qrels: chosen, part: null, ofQueries };
  }
  // By row: a Set ends at 16.7 million.
  const isKept = new Uint8Array(source.passages.rowCount);
  for (const queryRow of chosen.queryRows) for (const row of chosen.judgements(queryRow, 0).rows) isKept[row] = 1;
  const others = keepRows(source.searchRows, (row) => isKept[row] === 0);
  const total = source.searchRows.length;
  const sampled = subCorpus.passages - (total - others.length);
  if (sampled < 1) {
    const section = path.replace(/\.data\b.*$/, "");
    throw new QuarryError(
      "CONFIG",
      `${section}.subCorpus.passages: ${subCorpus.passages} leave no room beside the ${total - others.length} judged passages`,
      { hint: `Take more, of ${total} passages in all, or fewer queries with ${section}.sampleQueries.` },
    );
  }
  for (const row of sampleOf(others, sampled, subCorpus.seed ?? seed)) isKept[row] = 1;
  const searchRows = keepRows(source.searchRows, (row) => isKept[row] === 1);
  return {
    source: { ...source, searchRows, close: () => source.close() },
    qrels: chosen,
    part: { unjudged: others.length, sampled, searched: searchRows.length, total },
    ofQueries,
  };
}

/** Some of the rows, ascending: the first places of the seeded order. */
function sampleOf(rows: Int32Array, count: number, seed: number): Int32Array {
  const taken = new Int32Array(count);
  for (let place = 0; place < count; place += 1) taken[place] = rows[permuted(place, rows.length, seed, 0)] as number;
  return taken.sort();
}

function narrowed(qrels: Qrels, queryRows: Int32Array): Qrels {
  return {
    queryRows,
    judgements: (queryRow, epoch) => qrels.judgements(queryRow, epoch),
    annotated: (queryRow) => qrels.annotated(queryRow),
    origin: (queryRow, passageRow) => qrels.origin(queryRow, passageRow),
  };
}

/** A quick look's ranking on the disk, with what was measured of it. */
interface Looked extends Pick<QuickLook, "part" | "ofQueries"> {
  /** The step, which is the name of its folder and what messages call it. */
  readonly step: string;
  readonly files: { readonly run: string; readonly qrels: string };
  readonly measured: Measured;
  /** How many passages of each query a cross-encoder ranked again; undefined: none did. */
  readonly rerankDepth?: number;
}

/** States the error of a quick look: intervals where some queries are taken, estimates where a part is searched. */
export async function stateError(
  context: RunContext,
  looked: Looked,
  options: EstimateOptions,
): Promise<Pick<SetResult, "part" | "wholeCorpus" | "intervals">> {
  const { step, measured, ofQueries, part } = looked;
  const { intervals } = measured;
  if (intervals !== undefined) {
    const shown = Object.entries(intervals).map(
      ([name, [low, high]]) => `${name} ${low.toFixed(4)} to ${high.toFixed(4)}`,
    );
    context.events.emit({
      type: "warning",
      message: `${step}: ${measured.queryCount} of ${ofQueries} judged queries were taken; 95 % intervals are ${shown.join(", ")}`,
      hint: "Leave evaluate.sampleQueries out to take all of them.",
    });
  }
  const stated = intervals === undefined ? {} : { intervals };
  if (part === null) return stated;
  const wholeCorpus = await estimateWhole(context, looked, part, options);
  return { ...stated, part: { searched: part.searched, total: part.total }, wholeCorpus };
}

type EstimateOptions = Pick<EvaluateConfig, "relevanceLevel" | "topK"> & { readonly measures: readonly string[] };

/** Estimates what the measures would be over the whole corpus, and says so; see measuring/subcorpus.py for how. */
async function estimateWhole(
  context: RunContext,
  { step, files, rerankDepth }: Looked,
  part: CorpusPart,
  options: EstimateOptions,
): Promise<Readonly<Record<string, Estimate>>> {
  const { seed } = context.config;
  const args = ["--run", files.run, "--qrels", files.qrels, "--level", String(options.relevanceLevel)];
  args.push("--unjudged", String(part.unjudged), "--sampled", String(part.sampled));
  args.push("--depth", String(Math.min(options.topK, part.searched)), "--seed", String(seed));
  args.push("--out", context.runDir.file(step, "whole-corpus.json"));
  const { measures, notEstimated } = await runtimeAnswer<{
    readonly measures: Readonly<Record<string, Estimate>>;
    readonly notEstimated: readonly string[];
  }>(
    context,
    "estimate",
    [...args, "--measures", ...options.measures],
    "the measures over the whole corpus could not be estimated",
  );
  const shown = Object.entries(measures).map(([name, each]) => `${name} ${describeEstimate(each)}`);
  const left = notEstimated.length === 0 ? "" : `; ${notEstimated.join(", ")} without estimate`;
  // The best of a part reach deeper: those below them in the whole corpus are ranked again, too.
  const again =
    rerankDepth && formatCount(Math.min(part.total, Math.round((rerankDepth * part.unjudged) / part.sampled)));
  const all = again === undefined ? "all of them" : `all of them, about ${again} of each query ranked again,`;
  context.events.emit({
    type: "warning",
    message: `${step}: ${formatCount(part.searched)} of ${formatCount(part.total)} passages were searched, which raises the measures; ${all} would give about ${shown.join(", ")}${left}`,
    hint: "Intervals are of 95 %. Leave evaluate.subCorpus out for the values themselves.",
  });
  return measures;
}

/** `0.6271 (0.5712 to 0.6846)` */
export function describeEstimate({ estimate, low, high }: Estimate): string {
  return `${estimate.toFixed(4)} (${low.toFixed(4)} to ${high.toFixed(4)})`;
}
