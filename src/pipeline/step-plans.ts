/** The groups of the steps that ranks ask for, planned once each, the next step's a little ahead. */
import { planStep, prefetchStep } from "../data/index.js";
import type { Group, TrainingSet } from "../data/types.js";

/** Ranks ask a few micro-batches ahead and not in step with each other. */
const KEPT_STEPS = 4;

/**
 * Every rank and micro-step asks for the same plan; it is pure, so keeping it is only thrift, and knowing the next one
 * lets a cold disk fetch its texts while the step in hand computes.
 */
export class StepPlans {
  readonly #plans = new Map<number, readonly Group[]>();
  #isClosed = false;

  constructor(
    private readonly set: TrainingSet,
    private readonly globalBatchSize: number,
  ) {}

  /** The groups of a step, [globalBatchSize]. */
  of(step: number): readonly Group[] {
    const groups = this.#plans.get(step) ?? this.#plan(step);
    if (!this.#plans.has(step + 1)) setImmediate(() => this.#lookAhead(step + 1));
    return groups;
  }

  /** Nothing is planned any more; the set may be closed. */
  close(): void {
    this.#isClosed = true;
    this.#plans.clear();
  }

  #lookAhead(step: number): void {
    if (this.#isClosed || this.#plans.has(step)) return;
    try {
      prefetchStep(this.set, this.#plan(step));
    } catch {
      // Whoever asks for the step hears of it; nobody may ever do.
    }
  }

  #plan(step: number): readonly Group[] {
    const groups = planStep(this.set, step, this.globalBatchSize);
    this.#plans.set(step, groups);
    for (const known of [...this.#plans.keys()].slice(0, -KEPT_STEPS)) this.#plans.delete(known);
    return groups;
  }
}
