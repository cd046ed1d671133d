/** What the evaluations of a training found: the journal holds it, so that a resume neither repeats nor loses any. */
import { QuarryError } from "../../errors.js";
import type { TrainEvaluateConfig } from "../../experiment/schema.js";
import { metricsOf } from "../../experiment/sources.js";
import { writeFileDurably } from "../../rundir/durable.js";
import { type BestRule, bestSteps, type Evaluated, judge, type Verdict } from "../../training/index.js";
import type { RunContext } from "../context.js";
import type { Measures } from "./held-out.js";

/** A checkpoint that is dealt with for good. */
interface Entry {
  readonly step: number;
  readonly data: string;
  /** Null where there are none: it was skipped, or its evaluation failed. */
  readonly found: (Measures & { readonly seconds: number }) | null;
  /** Why there are none. */
  readonly reason: string | null;
}

const TYPE = "checkpointEvaluated";
/** The entry of a training that came to its end without any value. */
const FAILED = "evaluationsFailed";

/** The evaluations so far, and what follows from them. */
export class Evaluations {
  /** The measure that makes a checkpoint the best. */
  readonly metric: string;
  readonly #context: RunContext;
  readonly #options: TrainEvaluateConfig;
  readonly #data: string;
  readonly #entries = new Map<number, Entry>();

  /** @throws QuarryError CONFIG when earlier checkpoints were measured on other data. */
  constructor(context: RunContext, options: TrainEvaluateConfig, data: string) {
    this.#context = context;
    this.#options = options;
    this.#data = data;
    this.metric = options.metricForBestModel ?? (metricsOf(options)[0] as string);
    for (const entry of context.runDir.journal.entries) {
      // Then the same command tries again. A single failure is final, whoever died after it, or resumes would differ.
      if (entry.type === FAILED) this.#entries.clear();
      if (entry.type !== TYPE) continue;
      const known = entry as unknown as Entry;
      if (known.data !== data) throw otherData(known.step);
      this.#entries.set(known.step, known);
    }
  }

  has(step: number): boolean {
    return this.#entries.has(step);
  }

  get verdict(): Verdict {
    return judge(this.#values, this.#rule);
  }

  /** Steps of the checkpoints that stay for their values, best first. */
  get best(): readonly number[] {
    return bestSteps(this.#values, this.#rule, this.#options.saveBestLimit);
  }

  /**
   * Refuses a resume that could not choose in the end: the best checkpoint, or the one of an early stop, is gone. One
   * that training is yet to come to again is not missed.
   *
   * @param complete steps of all complete checkpoints
   * @throws QuarryError INTEGRITY that names them.
   */
  refuseLost(complete: readonly number[]): void {
    const { best, stoppedAt } = this.verdict;
    const reached = stoppedAt ?? Math.max(0, ...complete);
    const needed = new Set([best?.step, stoppedAt].filter((step) => typeof step === "number" && step <= reached));
    const lost = [...needed].filter((step) => !complete.includes(step as number));
    if (lost.length === 0) return;
    const named = lost.map((step) => `train/checkpoint-${step}`).join(" and ");
    const { path } = this.#context.runDir;
    throw new QuarryError("INTEGRITY", `the training in ${path} has lost ${named}, which its evaluations chose`, {
      hint: "Restore the folder from a copy, or train anew in another one with --runDir.",
    });
  }

  get #rule(): BestRule {
    const { greaterIsBetter, earlyStoppingPatience: patience, earlyStoppingThreshold: threshold } = this.#options;
    return { greaterIsBetter, patience, threshold };
  }

  get #values(): Evaluated[] {
    return [...this.#entries.values()].map(({ step, found }) => ({ step, value: found?.values[this.metric] ?? null }));
  }

  /** Takes what was measured; it is durable when the promise resolves. */
  async add(step: number, found: Measures & { readonly seconds: number }): Promise<void> {
    await this.#append({ step, data: this.#data, found, reason: null });
    const { best } = this.verdict;
    if (best === null) return;
    const { values, queryCount } = found;
    this.#context.events.emit({ type: "evaluation", step, measure: this.metric, values, queryCount, best });
  }

  /** Takes that a checkpoint was not measured, and says so; training goes on without its values. */
  async miss(step: number, reason: string, hint: string | null): Promise<void> {
    await this.#append({ step, data: this.#data, found: null, reason });
    this.#context.events.emit({
      type: "warning",
      message: `The checkpoint of step ${step} has no measures: ${reason}`,
      hint,
    });
  }

  /** Why there is no best checkpoint; once that is told, the next process tries again. */
  async failure(): Promise<QuarryError> {
    await this.#context.runDir.journal.append({ type: FAILED });
    const last = [...this.#entries.values()].findLast(({ reason }) => reason !== null);
    const reason = last === undefined ? "there was none" : `step ${last.step}: ${last.reason}`;
    return new QuarryError("WORKER", `No checkpoint could be evaluated; ${reason}`, {
      hint: "The checkpoints are there; the same command evaluates them again.",
    });
  }

  /** Writes what follows for people: the curve, and which checkpoint is the best. */
  async write(): Promise<void> {
    const entries = [...this.#entries.values()].sort((a, b) => a.step - b.step);
    const lines = entries.map(({ step, found, reason }) => {
      const { values = null, queryCount = null, seconds = null } = found ?? {};
      return `${JSON.stringify({ step, values, queryCount, seconds, ...(reason === null ? {} : { reason }) })}\n`;
    });
    await writeFileDurably(this.#context.runDir.file("train", "evaluations.jsonl"), lines.join(""));
    const { best, stoppedAt } = this.verdict;
    if (best === null) return;
    const { greaterIsBetter } = this.#options;
    await this.#context.runDir.writeJson("train/best.json", {
      ...best,
      checkpoint: `train/checkpoint-${best.step}`,
      measure: this.metric,
      greaterIsBetter,
      stoppedAt,
    });
  }

  async #append(entry: Entry): Promise<void> {
    await this.#context.runDir.journal.append({ type: TYPE, ...entry });
    this.#entries.set(entry.step, entry);
    await this.write();
  }
}

function otherData(step: number): QuarryError {
  return new QuarryError(
    "CONFIG",
    `train.evaluate.data is not what the checkpoint of step ${step} was measured on: their values cannot be compared.`,
    { hint: "Put the files back as they were to go on, or choose another folder with --runDir." },
  );
}
