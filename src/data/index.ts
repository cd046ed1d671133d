/** The data plane: what the rest of Quarry may use of it. */
export { buildMicroBatch } from "./batches.js";
export { planStep, stepsOf } from "./plan.js";
export { prepareSource } from "./source.js";
export type * from "./types.js";
export { textUnits } from "./units.js";
export { openTrainingSet } from "./views/open-training-set.js";
