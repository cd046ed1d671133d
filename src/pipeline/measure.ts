/** Measures of a run file, by pytrec_eval in a short-lived Python process. */
import type { EvaluateConfig } from "../experiment/schema.js";
import { type CommandContext, runtimeAnswer } from "./runtime-command.js";

/** What values rest on: such of the same basis can be compared. */
export interface MeasuredBasis {
  readonly relevanceLevel: number;
  readonly missing: "zero" | "skip";
  readonly depth: number | null;
  /** Fingerprint of the judgements, whatever format and order they came in. */
  readonly judgements: string;
}

/** Means over all judged queries, and the values of each query. */
export interface Measured {
  /** A mean, of counts the sum, of gm_map and gm_bpref the geometric mean. */
  readonly mean: Readonly<Record<string, number>>;
  readonly queries: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly queryCount: number;
  /** Judged queries that the run lacks. */
  readonly withoutResults: number;
  /** Queries of the run that nobody judged; they count for nothing. */
  readonly unjudged: number;
  readonly basis: MeasuredBasis;
  /** Where they were asked for: 95 % bootstrap intervals of the means, over other queries like these. */
  readonly intervals?: Readonly<Record<string, readonly [low: number, high: number]>>;
}

/** What is measured and how. */
export interface MeasureSettings extends Pick<EvaluateConfig, "relevanceLevel"> {
  readonly measures: readonly string[];
  /** Judged queries without results count as 0 (trec_eval -c), or are left out of the means; default: zero. */
  readonly missing?: "zero" | "skip" | undefined;
  /** How many passages of each query count (trec_eval -M); default: all. */
  readonly depth?: number | undefined;
  /** Asks for intervals, drawn with this seed. */
  readonly intervalsSeed?: number | undefined;
}

/**
 * Scores the written files themselves, so that whoever scores them again gets the same numbers.
 *
 * @param files `out` is where the values are kept as JSON; left out: nowhere
 */
export async function measure(
  context: CommandContext,
  files: { readonly run: string; readonly qrels: string; readonly out?: string },
  { measures, relevanceLevel, missing = "zero", depth, intervalsSeed }: MeasureSettings,
): Promise<Measured> {
  const args = ["--run", files.run, "--qrels", files.qrels, "--level", String(relevanceLevel), "--missing", missing];
  if (depth !== undefined) args.push("--depth", String(depth));
  if (intervalsSeed !== undefined) args.push("--intervals-seed", String(intervalsSeed));
  if (context.onProgress !== undefined) args.push("--progress");
  if (files.out !== undefined) args.push("--out", files.out);
  const purpose = "the measures could not be computed";
  return runtimeAnswer(context, "measure", [...args, "--measures", ...measures], purpose);
}
