/** Training with torchrun: what the pipeline needs of it. */
export { findCheckpoint, findLatestCheckpoint } from "./checkpoints.js";
export type { Layout, StepNegatives, TrainJob } from "./job.js";
export { deriveLayout, negativesScope } from "./layout.js";
export { runTraining } from "./run.js";
