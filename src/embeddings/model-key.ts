/** The name of a model's folder in the store: equal only where equal texts give equal vectors. */
import { jsonDigest } from "../json-digest.js";
import type { VectorModel } from "./types.js";

/** Changes when the layout of the store's files, or what a text's key is made of, changes. */
export const STORE_VERSION = "embeddings/1";

/**
 * 32 hexadecimal digits over the model's fingerprint (weights, tokenizer, pooling, normalisation, prompts, lengths,
 * number format, code of the encoder and of plugins), the side and the storage dtype.
 */
export function modelKey(model: VectorModel): string {
  return keyOf(modelFacts(model));
}

/** @param facts as modelFacts gives them, in their order. */
export function keyOf(facts: Readonly<Record<string, string | number>>): string {
  return jsonDigest(facts, 32);
}

/** What the key is made of and what names the model to people; kept beside the vectors, compared when they are opened. */
export function modelFacts({ contract, side, dtype }: VectorModel) {
  const { fingerprint, dimension } = contract;
  return { version: STORE_VERSION, fingerprint, side, dtype, dimension };
}
