/** Training with torchrun: what the pipeline needs of it. */
export { type CheckpointFolder, findLatestCheckpoint } from "./checkpoints.js";
export type { Layout, TrainJob, TrainOutcome } from "./job.js";
export { deriveLayout, negativesScope } from "./layout.js";
export { runTraining } from "./run.js";
