/** What the store of vectors takes and gives. */
import type { ModelContract, VectorDtype } from "../protocol/messages.js";

export type { VectorDtype } from "../protocol/messages.js";

/** Everything about a model that a stored vector depends on, its text aside. */
export interface VectorModel {
  readonly contract: ModelContract;
  readonly side: "query" | "passage";
  /** What vectors are kept as. */
  readonly dtype: VectorDtype;
}

/** Vectors of some texts, as a worker hands them in: [rowCount × dimension] row by row. */
export interface VectorBlock {
  /** Little endian. */
  readonly bytes: Uint8Array;
  /** [rowCount] for int8: vector ≈ scale × codes; else null. */
  readonly scales: Float32Array | null;
}

/** Bytes of one number of a vector. */
export const ITEM_BYTES: Readonly<Record<VectorDtype, number>> = { float32: 4, float16: 2, bfloat16: 2, int8: 1 };
