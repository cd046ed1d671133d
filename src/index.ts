/** The public API of Quarry, re-exports only. */
/// <reference types="node" preserve="true" />
export {
  buildMicroBatch,
  type CacheEntry,
  type CacheReport,
  type CacheState,
  type DamagedEntry,
  defaultCacheDir,
  type PruneOptions,
  type PruneReport,
  planStep,
  type ReaderFile,
  type ReaderId,
  type ReaderJudgement,
  type ReaderOptions,
  type ReaderText,
  registerReader,
  stepsOf,
  type VerifyOptions,
  type VerifyProgress,
} from "./data/index.js";
export type { CheckedFault, CheckedProblem, CheckedSource, CheckReport } from "./data/inspect/check.js";
export type { Bin, Summary } from "./data/inspect/histogram.js";
export type { ShownGroup, ShownPassage, ShownStep, ShownText } from "./data/inspect/show.js";
export type { DataStats, QrelsStats, SourceStats, TextStats, TrainingStats } from "./data/inspect/stats.js";
export type { LooseText } from "./data/texts/loose-texts.js";
export type { Group, MicroBatch, PreparedSource, Qrels, TextTable, TrainingSet } from "./data/types.js";
export { type ErrorCode, EXIT_STATUS, QuarryError, type QuarryErrorOptions } from "./errors.js";
export {
  type BiEncoderNames,
  biEncoder,
  binary,
  type CrossEncoderNames,
  combined,
  crossEncoder,
  type DefineOptions,
  defineExperiment,
  demoModel,
  demoSource,
  type Experiment,
  lora,
  loss,
  mix,
  multiLevel,
  type SuiteSetOptions,
  scored,
  source,
  suite,
} from "./experiment/define.js";
export {
  type FunctionStep,
  type LazyText,
  step,
  type Triplet,
  type TripletGroup,
} from "./experiment/function-step.js";
export { loadExperiment } from "./experiment/load.js";
export type { LossInput, PluginLoss, SharedLossOptions } from "./experiment/loss-types.js";
export type * from "./experiment/options.generated.js";
export type { Override } from "./experiment/overrides.js";
export type * from "./experiment/plugin-types.js";
export type {
  CrossEncoderConfig,
  EncodeConfig,
  EvaluateConfig,
  EvaluationDataConfig,
  ExperimentConfig,
  MineConfig,
  ModelConfig,
  RerankConfig,
  SearchConfig,
  SearchDataConfig,
  SourceConfig,
  TrainConfig,
  TrainingDataConfig,
  ValidationConfig,
  WorkersConfig,
} from "./experiment/schema.js";
export { listCache, pruneCache, verifyCache } from "./pipeline/cache.js";
export {
  type CachedData,
  checkData,
  type DataOptions,
  dataStats,
  openSearchData,
  openTrainingData,
  showStep,
} from "./pipeline/data.js";
export type { CheckStatus, DoctorCheck, DoctorOptions, DoctorReport } from "./pipeline/doctor/types.js";
export type { EncodedTexts, Encoder, OpenEncoderOptions } from "./pipeline/encoder.js";
export type { ExportedModel, ExportOptions } from "./pipeline/export-model.js";
export {
  compareRuns,
  compareSuites,
  doctor,
  encode,
  evaluate,
  exportModel,
  holdsSuite,
  measureRun,
  mine,
  openEncoder,
  replayStep,
  run,
  search,
  trackRun,
  train,
  writeReport,
} from "./pipeline/index.js";
export { type JoinOptions, joinCommandOf, joinRun, ticketPathOf } from "./pipeline/join.js";
export type { Measured, MeasuredBasis } from "./pipeline/measure.js";
export type { ReplayedMicroStep, ReplayedStep, ReplayOptions } from "./pipeline/replay.js";
export type { ReplayedLoss } from "./pipeline/replay-loss.js";
export type { ReportOptions, WrittenReport } from "./pipeline/report/report.js";
export type { Tracked, TrackOptions } from "./pipeline/report/track.js";
export type { CommandProgress } from "./pipeline/runtime-command.js";
export type { RecordedStep } from "./pipeline/train-record.js";
export type {
  ComparedAverage,
  ComparedMeasure,
  CompareOptions,
  CompareSuitesOptions,
  Comparison,
  MeasureOptions,
  MovedQuery,
  RunResult,
  SetComparison,
  SuiteComparison,
  TestedP,
  ToldOptions,
  Verb,
  VerbOptions,
} from "./pipeline/types.js";
export { type Drained, drainWorker, findRunAtWork, listWorkers, type WorkerLine } from "./pipeline/workers.js";
export {
  type InspectOptions,
  inspectModel,
  listRegistered,
  type ModelReport,
  type Registered,
  type RegisteredOptions,
} from "./python/introspect.js";
export { type EventBody, type EventListener, EventStream, type QuarryEvent } from "./report/events.js";
export { attachReporter, type Reporter, type ReporterKind, type ReporterOptions } from "./report/index.js";
