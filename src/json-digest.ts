/** Names a value by its content: in keys of what lies on the disk, so that one of something else is never taken for it. */
import { createHash } from "node:crypto";

/**
 * SHA-256 over the value as JSON: equal where its numbers, texts and lists are, keys in their order.
 *
 * @param digits the first so many of 64 hexadecimal ones
 * @example
 * const key = jsonDigest([contract.fingerprint, options], 16);
 */
export function jsonDigest(value: unknown, digits = 64): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, digits);
}
