/** The batch of a training step for whoever asks: ranks in training, a replay, the doctor. One function, so all get the same. */
import { createHash } from "node:crypto";
import { buildMicroBatch } from "../data/index.js";
import type { Group, MicroBatch, TrainingSet } from "../data/types.js";
import type { Layout } from "../training/index.js";
import { StepPlans } from "./step-plans.js";

/** What is kept of a step until its report comes. */
interface Served {
  /** Columns masked for holding known positives of another query, or copies, by the share they were counted in. */
  readonly masked: Map<string, number>;
  readonly rows: string;
  /** How it was cut; a start with fewer machines cuts it anew. */
  layout: Layout;
}

/** What a training is served from. */
export interface Batches {
  /** A rank's share of a micro-step; steps, micro-steps and ranks count from 0. */
  microBatch(step: number, microStep: number, rank: number, layout: Layout): MicroBatch | Promise<MicroBatch>;
  /** What steps.jsonl says of the batch of a step that is done; null where nobody was served it. */
  take(step: number): StepFacts | null;
}

/** What steps.jsonl says of a step's batch. */
export interface StepFacts {
  readonly maskedPositives: number;
  /** Names the batch; see rowsDigest. */
  readonly rows: string;
  /** How it was cut; left out where nobody was served it. */
  readonly ranks?: number;
  readonly queriesPerRank?: number;
}

/** The batches of a training set: a pure function of (set, seed, step), with the last few steps kept for thrift. */
export class StepBatches implements Batches {
  readonly #plans: StepPlans;
  readonly #served = new Map<number, Served>();

  constructor(
    private readonly set: TrainingSet,
    globalBatchSize: number,
  ) {
    this.#plans = new StepPlans(set, globalBatchSize);
  }

  /** The groups of a step, [globalBatchSize]; steps count from 0. */
  groups(step: number): readonly Group[] {
    return this.#plans.of(step);
  }

  /** A rank's share of a micro-step; steps, micro-steps and ranks count from 0. */
  microBatch(step: number, microStep: number, rank: number, layout: Layout): MicroBatch {
    const groups = this.#plans.of(step);
    const batch = buildMicroBatch(this.set, groups, { ...layout, rank, microStep });
    const served = this.#served.get(step) ?? { masked: new Map<string, number>(), rows: rowsDigest(groups), layout };
    if (served.layout.worldSize !== layout.worldSize) served.masked.clear();
    served.layout = layout;
    // A share asked for twice, after a restart, counts once.
    served.masked.set(`${microStep}/${rank}`, batch.maskedPositives);
    this.#served.set(step, served);
    return batch;
  }

  /** What steps.jsonl says of the batch of a step that is done; it and those before it are forgotten. */
  take(step: number): StepFacts {
    const served = this.#served.get(step);
    for (const known of this.#served.keys()) if (known <= step) this.#served.delete(known);
    if (served === undefined) return { maskedPositives: 0, rows: rowsDigest(this.#plans.of(step)) };
    const { masked, rows, layout } = served;
    const maskedPositives = [...masked.values()].reduce((sum, count) => sum + count, 0);
    return { maskedPositives, rows, ranks: layout.worldSize, queriesPerRank: layout.queriesPerRank };
  }

  /** Nothing is planned any more; the set may be closed. */
  close(): void {
    this.#plans.close();
    this.#served.clear();
  }
}

/**
 * Names a step's batch: sha256 over query rows, passage rows, labels and counts as little-endian numbers, group by
 * group; the first 16 digits. The same on any number of ranks.
 */
export function rowsDigest(groups: readonly Group[]): string {
  const hash = createHash("sha256");
  for (const { query, passages, labels, count } of groups) {
    hash
      .update(Int32Array.of(query, count, passages.length))
      .update(passages)
      .update(labels);
  }
  return hash.digest("hex").slice(0, 16);
}
