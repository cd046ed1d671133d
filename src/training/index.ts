/** Training with torchrun: what the pipeline needs of it. */
export { findLatestCheckpoint } from "./checkpoints.js";
export type { Layout, TrainJob } from "./job.js";
export { deriveLayout, negativesScope } from "./layout.js";
export { runTraining } from "./run.js";
export { packMicroBatch, trainTask } from "./task.js";
