/** Training as one call: launches torchrun, launches it again after its death, ends with a checkpoint. */
import { mkdir } from "node:fs/promises";
import { counted } from "../counted.js";
import { QuarryError } from "../errors.js";
import { findLatestCheckpoint, layoutFrom, removeHalfWritten } from "./checkpoints.js";
import { deathError } from "./death.js";
import { checkDevices } from "./devices.js";
import type { TrainJob, TrainOutcome } from "./job.js";
import { deriveLayout, negativesScope } from "./layout.js";
import { checkLoopback } from "./loopback.js";
import { worldSizes } from "./meeting.js";
import { TrainProgress } from "./progress.js";
import { runSession } from "./session.js";

/**
 * Trains until maxSteps or until the signal aborts, going on from the last complete checkpoint in outputDir.
 *
 * A rank that dies is started again by torchrun, a torchrun that dies by this function, at most `maxRestarts` times
 * in all; every generation goes on with the very next batch after the last complete checkpoint. When the promise
 * settles, no process is left.
 *
 * @throws QuarryError what a rank reported (CONFIG, DATA, WORKER, …); WORKER when the restarts are used up; ENVIRONMENT
 *   where ranks cannot meet; CONFIG when the batch cannot be shared, there are fewer GPUs than ranks, or a checkpoint
 *   belongs to another training; INTERRUPTED when the signal aborted before there was any checkpoint.
 */
export async function runTraining(job: TrainJob): Promise<TrainOutcome> {
  // Before anything is looked at or made: most of what can be wrong is wrong without a checkpoint, too.
  for (const ranks of worldSizes(job)) deriveLayout({ ...job, ranks });
  await checkDevices(job);
  await checkLoopback();
  await mkdir(job.outputDir, { recursive: true });
  const begun = await findLatestCheckpoint(job.outputDir);
  const layout = layoutFrom(begun, job, job.ranks);
  const firstStep = begun?.step ?? 0;
  const { worldSize, queriesPerRank, accumulationSteps } = layout;
  const scope = negativesScope(layout, job.passagesPerQuery);
  job.events.emit({
    ...{ type: "log", source: "training", level: "info" },
    text:
      `${counted(job.globalBatchSize, "queries")} a step: ${counted(worldSize, "ranks")} × ${counted(queriesPerRank, "queries")} × ` +
      `${counted(accumulationSteps, "micro-steps")}; each query is compared with ${counted(scope, "passages")}.`,
  });
  const progress = new TrainProgress(job, firstStep);
  const finish = (checkpoint: string, step: number, isStopped: boolean): TrainOutcome => ({
    ...{ checkpoint, step, isStopped },
    seconds: progress.seconds,
    waitShare: progress.seconds > 0 ? Math.min(1, progress.waitSeconds / progress.seconds) : null,
    stepsDone: Math.max(0, step - firstStep),
  });
  if (begun !== null && begun.step >= job.maxSteps) {
    // Left by ranks that died in their last clearing up; nobody comes by again.
    await removeHalfWritten(job.outputDir, job.events);
    return finish(begun.path, begun.step, false);
  }
  try {
    for (let left = job.maxRestarts; ; ) {
      const isStopping = job.signal?.aborted === true || job.halt?.aborted === true;
      const end = isStopping ? ({ kind: "stopped" } as const) : await runSession(job, layout, progress, left);
      if (end.kind === "trained") return finish(end.path, end.step, end.step < job.maxSteps);
      if (end.kind === "failed") throw end.error;
      if (end.kind === "stopped") {
        const latest = await findLatestCheckpoint(job.outputDir);
        if (latest !== null) return finish(latest.path, latest.step, latest.step < job.maxSteps);
        throw new QuarryError("INTERRUPTED", "Training was stopped before its first checkpoint.");
      }
      left -= end.restarts + 1;
      if (left < 0) throw deathError(end.reason, job.maxRestarts, job.logDir);
      job.events.emit({ type: "warning", message: `${end.reason} Training starts again.`, hint: null });
    }
  } finally {
    progress.ended();
  }
}
