/** What this machine refuses of a training before any step has begun: its batch, its ranks, the workers beside them. */
import { QuarryError } from "../errors.js";
import { machineCount } from "../experiment/cross-checks.js";
import type { TrainConfig, WorkersConfig } from "../experiment/schema.js";
import { isOneGpu, withNamedGpu } from "../pool/gpus.js";
import { findPython } from "../python/environment.js";
import { checkDevices, deriveLayout } from "../training/index.js";
import type { RunContext } from "./context.js";
import { besideRanks } from "./side-pool.js";
import { findDone } from "./step.js";
import { rankCount } from "./train-job.js";

/**
 * Refuses a batch that this machine's ranks cannot share, before there is a run folder, which would be bound to it.
 *
 * @throws QuarryError CONFIG naming the numbers that would work
 */
export async function checkLayout(options: TrainConfig, { device }: WorkersConfig): Promise<void> {
  const { globalBatchSize, queriesPerRank } = options;
  const ranks = await rankCount(options, device, await withNamedGpu(await findPython(), device));
  deriveLayout({ globalBatchSize, queriesPerRank, ranks: ranks * machineCount(options) });
}

/**
 * Refuses ranks and workers beside them that this machine has no GPU for: hours may pass until they would start. A run
 * whose training is done may be anywhere.
 *
 * @throws QuarryError CONFIG
 */
export async function checkMachine(context: RunContext): Promise<void> {
  const { train, workers } = context.config;
  if (train === undefined || findDone(context, "train") !== undefined) return;
  const { device } = workers;
  const python = await withNamedGpu(await context.python(), device);
  const ranks = await rankCount(train, device, python);
  if (isOneGpu(device) && ranks > 1) {
    throw new QuarryError("CONFIG", `train.ranks is ${ranks}, but workers.device is ${device}, which is one GPU.`, {
      hint: "Set workers.device to auto, and CUDA_VISIBLE_DEVICES to the GPUs that may be used; or leave train.ranks out.",
    });
  }
  await checkDevices({ ranks, python, device: device === "cpu" ? "cpu" : "auto" });
  const { evaluate, refresh } = train;
  if (evaluate?.mode === "workers") await besideRanks(context, evaluate.workers, ranks, "train.evaluate.workers");
  if (refresh !== undefined) await besideRanks(context, refresh.workers, ranks, "train.refresh.workers");
}
