/** Training with torchrun: what the pipeline needs of it. */
export { findLatestCheckpoint } from "./checkpoints.js";
export type { Layout, TrainJob, TrainNodes } from "./job.js";
export { deriveLayout, negativesScope } from "./layout.js";
export { runTraining } from "./run.js";
