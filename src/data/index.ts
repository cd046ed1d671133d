/** The data plane: what the rest of Quarry may use of it. */
export { buildMicroBatch, isMasked } from "./batches.js";
export { ENTRY_KINDS } from "./cache/entry.js";
export { type CacheEntry, type CacheState, entriesOf, listCache, lookAtModels, type SeenEntry } from "./cache/list.js";
export { dataFolder, defaultCacheDir } from "./cache/location.js";
export { type PruneOptions, type PruneReport, pruneCache, pruneSeen } from "./cache/prune.js";
export {
  type CacheReport,
  type DamagedEntry,
  type VerifiedEntry,
  type VerifyCalls,
  type VerifyOptions,
  type VerifyProgress,
  verifyCache,
} from "./cache/verify.js";
export { formatFloat32 } from "./float32.js";
export { checkFetched, hubFilesOf, hubPath, isHubUrl, missingHubFiles } from "./hub.js";
export { DIGEST_BYTES, digestTexts } from "./pairs/texts.js";
export { type PairRows, pairUnits } from "./pairs/units.js";
export { permuted } from "./permutation.js";
export { planStep, prefetchStep, stepsOf } from "./plan.js";
export { callFilter } from "./qrels/function-calls.js";
export { refuseUnfitGrades } from "./qrels/grades.js";
export { type PlainJudgement, plainJudgements } from "./qrels/judgement-file.js";
export { namesPositives } from "./qrels/relevant.js";
export { countUp, Draws, PURPOSE, partSeed, shuffleFirst } from "./random.js";
export {
  type ReaderFile,
  type ReaderId,
  type ReaderJudgement,
  type ReaderOptions,
  type ReaderText,
  registerReader,
} from "./readers/registry.js";
export { readRun } from "./readers/trec-run.js";
export { distinctRows, hashRows, keepRows } from "./rows.js";
export { prepareSource } from "./source.js";
export { gatheredStrings } from "./texts/gathered.js";
export { type LooseText, looseUnits } from "./texts/loose-texts.js";
export type * from "./types.js";
export { textUnits } from "./units.js";
export { openTrainingSet } from "./views/open-training-set.js";
