/** The store of vectors: what the pipeline may use of it. */
export { covers, planMissing, readingOrder, readPlan, writePlan } from "./encode-plan.js";
export { KeyTable } from "./key-table.js";
export { lookAtEmbeddings } from "./list.js";
export { EmbeddingStore } from "./store.js";
export { keepPlaces, readPlaces } from "./stored-places.js";
export { KEPT_ROWS, KEY_WORDS, rowsKey, type TextKeys, textKeys } from "./text-keys.js";
export { VectorView } from "./vector-view.js";
export { verifyVectors } from "./verify.js";
