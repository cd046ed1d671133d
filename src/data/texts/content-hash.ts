/** The fingerprint of a table: over ids, titles, texts, prompts and extras in order, however the rows were cut into batches. */
import { createHash, type Hash } from "node:crypto";
import type { BatchColumns, StringColumn } from "./arrow-file.js";

/** No JSON text holds it. */
const END = new Uint8Array(1);

/**
 * A sha256 over the ids, the prompts, the extras, and length and crc32 of each title and text. Hashing the texts once more would
 * cost as much as writing them; two tables whose every text has an equal length and an equal crc32 are taken for equal
 * (a changed stretch of up to four bytes always shows, a longer one but for one in 2^32).
 */
export class ContentHash {
  readonly #ids = createHash("sha256");
  readonly #lengths = createHash("sha256");
  readonly #textChecks = createHash("sha256");
  readonly #prompts = createHash("sha256");
  readonly #promptLengths = createHash("sha256");
  /** Null for a table without extras: its fingerprint is what it was before there were any. */
  #extras: Hash | null = null;
  #scratch = new Int32Array(0);

  constructor(private readonly version: string) {}

  update({ id, title, text, prompt, extras, textCheck }: BatchColumns): void {
    this.#ids.update(id.bytes);
    this.#lengths.update(this.#lengthsOf([id, title, text]));
    this.#textChecks.update(textCheck);
    if (prompt !== null) {
      this.#promptLengths.update(this.#lengthsOf([prompt]));
      this.#prompts.update(prompt.bytes);
    }
    if (extras === null) return;
    this.#extras ??= createHash("sha256");
    // JSON objects one after the other, or nothing: a byte tells where each one ends.
    for (let row = 0; row + 1 < extras.offsets.length; row += 1) {
      this.#extras.update(extras.bytes.subarray(extras.offsets[row], extras.offsets[row + 1])).update(END);
    }
  }

  digest(): string {
    const whole = createHash("sha256").update(this.version);
    const parts = [this.#ids, this.#lengths, this.#textChecks, this.#prompts, this.#promptLengths];
    for (const part of parts) whole.update(part.digest());
    if (this.#extras !== null) whole.update(this.#extras.digest());
    return whole.digest("hex");
  }

  /** Lengths row by row, so that the borders of batches leave no trace; overwritten by the next call. */
  #lengthsOf(columns: readonly StringColumn[]): Int32Array {
    const rowCount = (columns[0] as StringColumn).offsets.length - 1;
    const count = rowCount * columns.length;
    if (this.#scratch.length < count) this.#scratch = new Int32Array(count);
    for (const [index, { offsets }] of columns.entries()) {
      for (let row = 0; row < rowCount; row += 1) {
        this.#scratch[row * columns.length + index] = (offsets[row + 1] as number) - (offsets[row] as number);
      }
    }
    return this.#scratch.subarray(0, count);
  }
}
