/** Derives who takes how many queries from the global batch, and refuses what does not come out even. */
import { counted } from "../counted.js";
import { QuarryError } from "../errors.js";
import type { Layout, TrainJob } from "./job.js";

/**
 * The layout of a global batch on a number of ranks.
 *
 * @throws QuarryError CONFIG that names the numbers that would work.
 */
export function deriveLayout(job: Pick<TrainJob, "globalBatchSize" | "queriesPerRank" | "ranks">): Layout {
  const { globalBatchSize, ranks } = job;
  if (globalBatchSize % ranks !== 0) {
    throw new QuarryError(
      "CONFIG",
      `train.globalBatchSize ${globalBatchSize} cannot be shared equally by ${ranks} ranks.`,
      {
        hint: `Set train.globalBatchSize to ${neighbours(globalBatchSize, ranks)}, or train.ranks to ${either(divisors(globalBatchSize))}.`,
      },
    );
  }
  const share = globalBatchSize / ranks;
  const queriesPerRank = job.queriesPerRank ?? share;
  if (share % queriesPerRank !== 0) {
    throw new QuarryError(
      "CONFIG",
      `train.queriesPerRank ${queriesPerRank} does not divide the ${counted(share, "queries")} that ${ranks === 1 ? "the only rank" : `each of ${ranks} ranks`} has of train.globalBatchSize ${globalBatchSize}.`,
      {
        hint: `Set train.queriesPerRank to ${either(divisors(share))}, or train.globalBatchSize to ${neighbours(globalBatchSize, ranks * queriesPerRank)}.`,
      },
    );
  }
  return { worldSize: ranks, queriesPerRank, accumulationSteps: share / queriesPerRank };
}

/** Passages that each query is compared with in one micro-step: what accumulation shrinks. */
export function negativesScope(layout: Layout, passagesPerQuery: number): number {
  return layout.worldSize * layout.queriesPerRank * passagesPerQuery;
}

function neighbours(value: number, step: number): string {
  const below = Math.floor(value / step) * step;
  return below === 0 ? String(step) : `${below} or ${below + step}`;
}

function divisors(value: number): number[] {
  return Array.from({ length: value }, (_, index) => index + 1).filter((candidate) => value % candidate === 0);
}

function either(values: readonly number[]): string {
  const shown = values.length > 8 ? values.slice(-8) : values;
  if (shown.length === 1) return String(shown[0]);
  return `${shown.slice(0, -1).join(", ")} or ${shown.at(-1)}`;
}
