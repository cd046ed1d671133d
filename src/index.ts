/** The public API of Quarry, re-exports only. */
/// <reference types="node" preserve="true" />
export { type ErrorCode, EXIT_STATUS, QuarryError, type QuarryErrorOptions } from "./errors.js";
export {
  type BiEncoderNames,
  biEncoder,
  binary,
  type DefineOptions,
  defineExperiment,
  demoModel,
  demoSource,
  type Experiment,
  multiLevel,
  source,
} from "./experiment/define.js";
export { loadExperiment } from "./experiment/load.js";
export type * from "./experiment/options.generated.js";
export type { Override } from "./experiment/overrides.js";
export type {
  EncodeConfig,
  EvaluateConfig,
  ExperimentConfig,
  MineConfig,
  ModelConfig,
  SourceConfig,
  TrainConfig,
  WorkersConfig,
} from "./experiment/schema.js";
export { encode, evaluate, mine, run, train } from "./pipeline/index.js";
export type { RunResult, Verb, VerbOptions } from "./pipeline/types.js";
export {
  type InspectOptions,
  inspectModel,
  listRegistered,
  type ModelReport,
  type Registered,
} from "./python/introspect.js";
export { type EventBody, type EventListener, EventStream, type QuarryEvent } from "./report/events.js";
export { attachReporter, type Reporter, type ReporterKind, type ReporterOptions } from "./report/index.js";
