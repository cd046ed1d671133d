/** Asks all retrievers of a mining step for their rankings: the experiment's model, other models, run files. */
import { mkdir } from "node:fs/promises";
import type { PreparedSource } from "../data/types.js";
import { QuarryError } from "../errors.js";
import { retrieverName } from "../experiment/mine-checks.js";
import type { MineConfig, ModelConfig, RetrieverConfig } from "../experiment/schema.js";
import type { RunContext } from "./context.js";
import { listsOf } from "./given-run.js";
import { positivePairs, type Retrieved, retrievedBy } from "./mining/cases.js";
import { runSource } from "./mining/runs.js";
import type { ScoreLimits } from "./mining/types.js";
import { prepare } from "./prepare.js";
import { retrieve } from "./retrieve.js";
import type { ModelChoice } from "./step.js";
import type { Throughput } from "./summary.js";
import { refuseTooMany } from "./top-k.js";

/** One retriever, before it is asked. */
export interface Retriever {
  /** What reports and files call it. */
  readonly name: string;
  readonly topK: number;
  readonly limits: ScoreLimits;
  /** Null: the experiment's own model, as far as it is trained. */
  readonly model: ModelConfig | null;
  /** Null for a model. */
  readonly run: NonNullable<RetrieverConfig["run"]> | null;
}

/**
 * The experiment's model comes first, then the others in order.
 *
 * @throws QuarryError CONFIG for a retriever that is called what the experiment's model is called here
 */
export function retrieversOf(options: MineConfig, ownName: string): Retriever[] {
  const { maxScore, minScore, absoluteMargin, relativeMargin, topK } = options;
  const limits = { maxScore, minScore, absoluteMargin, relativeMargin };
  const own: Retriever[] = options.includeModel ? [{ name: ownName, topK, limits, model: null, run: null }] : [];
  const others = options.retrievers.map((each, index): Retriever => {
    const name = retrieverName(each, index);
    if (name === ownName && options.includeModel) {
      throw new QuarryError(
        "CONFIG",
        `mine.retrievers.${index}.name: ${name} is what the experiment's own model is called`,
      );
    }
    // A share means the same on any scale; numbers on the model's scale say nothing of another's.
    const { maxScore, minScore, absoluteMargin } = each;
    const limits = { maxScore, minScore, absoluteMargin, relativeMargin: each.relativeMargin ?? relativeMargin };
    return { name, topK: each.topK ?? topK, limits, model: each.model ?? null, run: each.run ?? null };
  });
  return [...own, ...others];
}

/** Does something with the run files among the retrievers open: null where one is a model. */
export async function withRuns<T>(
  context: RunContext,
  step: string,
  data: MineConfig["data"],
  retrievers: readonly Retriever[],
  work: (runs: readonly (PreparedSource | null)[]) => Promise<T>,
): Promise<T> {
  const opened: (PreparedSource | null)[] = [];
  try {
    for (const { name, run } of retrievers) {
      const source = run === null || data.kind !== "source" ? null : runSource(data, run);
      opened.push(source === null ? null : await prepare(context, `${step}/${name}`, source));
    }
    return await work(opened);
  } finally {
    for (const source of opened) source?.close();
  }
}

/** Asks every retriever for these queries; what an earlier call made durable is not done again. */
export async function askAll(
  context: RunContext,
  work: {
    readonly step: string;
    readonly choice: ModelChoice;
    readonly source: PreparedSource;
    readonly queryRows: Int32Array;
    readonly retrievers: readonly Retriever[];
    readonly runs: readonly (PreparedSource | null)[];
  },
): Promise<{ readonly retrieved: Retrieved[]; readonly throughput: Throughput }> {
  const { step, source, queryRows } = work;
  const retrieved: Retrieved[] = [];
  // Of all of them: what the last one is refused for must be known before hours of the first.
  for (const { topK, run } of work.retrievers) {
    if (run === null) refuseTooMany(queryRows.length, Math.min(topK, source.searchRows.length));
  }
  const pairs = positivePairs(source, queryRows);
  const throughput = { texts: 0, seconds: 0 };
  for (const [index, { name, topK, model }] of work.retrievers.entries()) {
    const run = work.runs[index] ?? null;
    if (run !== null) {
      retrieved.push(listsOf(context, { run, name, data: "mine.data" }, source, queryRows, topK));
      continue;
    }
    // In a folder apart: a name may be that of a file beside it.
    const place = model === null ? step : `${step}/retrievers/${name}`;
    await mkdir(context.runDir.file(place), { recursive: true });
    const found = await retrieve(model === null ? context : context.withModel(model), {
      phase: place,
      folder: place,
      model: model === null ? work.choice : { label: name, checkpoint: undefined },
      source,
      queryRows,
      topK,
      ...(pairs.rows.length === 0 ? {} : { tracked: pairs }),
    });
    throughput.texts += found.throughput.texts;
    throughput.seconds += found.throughput.seconds;
    const { trackedScores: scores } = found;
    retrieved.push(retrievedBy(found.ranked, scores === null ? null : { pairs, scores }));
  }
  return { retrieved, throughput };
}
