/** The loss of a step, found by training on from the checkpoint before it in a temporary folder. */
import { constants } from "node:fs";
import { cp } from "node:fs/promises";
import { basename, join } from "node:path";
import type { TrainingSet } from "../data/types.js";
import type { Experiment } from "../experiment/define.js";
import type { TrainConfig } from "../experiment/schema.js";
import { withNamedGpu } from "../pool/gpus.js";
import { EventStream } from "../report/events.js";
import type { RecordedRun } from "../rundir/directory.js";
import { findLatestCheckpoint, type Layout, runTraining } from "../training/index.js";
import type { Look } from "./data.js";
import { inTemporaryFolder } from "./runtime-command.js";
import type { Batches } from "./step-batches.js";
import { trainJob } from "./train-job.js";

/** Losses of the steps that were trained once more, the one asked for last. */
export interface ReplayedLoss {
  /** The checkpoint that it went on from; null for the model as it was before the training. */
  readonly from: string | null;
  readonly loss: number;
  readonly steps: readonly { readonly step: number; readonly loss: number }[];
  /** Where the ranks worked, e.g. "cpu". */
  readonly device: string;
}

/** What a replay has at hand. */
export interface Replay {
  readonly run: RecordedRun;
  readonly experiment: Experiment;
  readonly train: TrainConfig;
  readonly set: TrainingSet;
  readonly batches: Pick<Batches, "microBatch">;
  readonly layout: Layout;
  readonly look: Look;
}

/**
 * Trains up to a step as the run did: the same job on as many ranks, from a copy of the nearest complete checkpoint
 * before it. The run folder is only read.
 *
 * @param step counts from 1
 * @throws QuarryError what the training raised.
 */
export async function replayLoss(replay: Replay, step: number): Promise<ReplayedLoss> {
  const { run, experiment, train, set, batches, layout, look } = replay;
  const from = await findLatestCheckpoint(join(run.path, "train"), step);
  const python = await withNamedGpu(await look.python(), experiment.config.workers.device);
  return inTemporaryFolder(async (folder) => {
    const outputDir = join(folder, "train");
    if (from !== null) {
      // A copy, for ranks refuse checkpoints of other folders; free of cost where the file system can share blocks.
      const copy = { recursive: true, mode: constants.COPYFILE_FICLONE };
      await cp(from.path, join(outputDir, basename(from.path)), copy);
    }
    const controller = new AbortController();
    const stop = (): void => controller.abort();
    look.signal.addEventListener("abort", stop);
    const events = new EventStream();
    const losses = new Map<number, number>();
    let device = "cpu";
    events.subscribe((event) => {
      if (event.type === "worker" && event.device !== null) device = event.device;
      if (event.type !== "trainStep") return;
      losses.set(event.step, event.loss);
      if (event.step >= step) stop();
    });
    const { worldSize: ranks, queriesPerRank } = layout;
    const place = { ranks, python, events, outputDir, logDir: join(folder, "logs"), signal: controller.signal };
    // Nothing but the step asked for is wanted: no checkpoint on the way.
    const args = { ...train.args, saveSteps: Number.MAX_SAFE_INTEGER };
    const options = { ...train, queriesPerRank, args };
    try {
      await runTraining(trainJob(experiment, options, set, batches, place));
    } finally {
      look.signal.removeEventListener("abort", stop);
    }
    look.checkStop();
    const steps = [...losses].map(([number, loss]) => ({ step: number, loss })).filter((found) => found.step <= step);
    const loss = losses.get(step);
    if (loss === undefined) throw new TypeError(`training ended before step ${step}`);
    return { from: from?.path ?? null, loss, steps, device };
  });
}
