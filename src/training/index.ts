/** Training with torchrun: what the pipeline needs of it. */
export { type BestRule, bestSteps, type Evaluated, judge, removable, type Verdict } from "./best.js";
export {
  findLatestCheckpoint,
  listCheckpoints,
  lostOfCheckpoints,
  modelFilesOf,
  OF_TRAINING,
  removeCheckpoints,
  removeHalfWritten,
} from "./checkpoints.js";
export { checkDevices } from "./devices.js";
export type { EvaluationOrder, Layout, TrainJob, TrainNodes, TrainOutcome } from "./job.js";
export { deriveLayout, negativesScope } from "./layout.js";
export { runTraining } from "./run.js";
export { packMicroBatch, trainTask } from "./task.js";
