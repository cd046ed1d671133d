/** Collects rows until they make a record batch. */
import type { Span, TextRecord } from "../readers/reader.js";
import { GrowingBytes, growingInt32 } from "../storage/growing.js";
import type { BatchColumns } from "./arrow-file.js";
import { idChecksum, textChecksum } from "./checksums.js";

const BATCH_ROWS = 32_768;
const BATCH_BYTES = 64 << 20;

class StringBuilder {
  readonly #bytes = new GrowingBytes();
  readonly #ends = growingInt32();

  constructor() {
    this.#ends.push(0);
  }

  get byteLength(): number {
    return this.#bytes.length;
  }

  /** Appends a span and returns its bytes, valid until the next one. */
  append({ bytes, start, end }: Span): Uint8Array {
    const from = this.#bytes.length;
    this.#bytes.append(bytes, start, end);
    this.#ends.push(this.#bytes.length);
    return this.#bytes.bytes.subarray(from, this.#bytes.length);
  }

  column(): { offsets: Int32Array; bytes: Uint8Array } {
    return { offsets: this.#ends.filled(), bytes: this.#bytes.bytes.subarray(0, this.#bytes.length) };
  }

  clear(): void {
    this.#bytes.length = 0;
    this.#ends.length = 1;
  }
}

export class BatchBuilder {
  readonly #id = new StringBuilder();
  readonly #title = new StringBuilder();
  readonly #text = new StringBuilder();
  readonly #lines = growingInt32();
  readonly #idChecks = growingInt32();
  readonly #textChecks = growingInt32();

  /** Adds a row; true when the batch should be taken before the next one. */
  add(record: TextRecord): boolean {
    const id = this.#id.append(record.id);
    const title = this.#title.append(record.title);
    const text = this.#text.append(record.text);
    this.#lines.push(record.line);
    this.#idChecks.push(idChecksum(id, record.line));
    this.#textChecks.push(textChecksum(title, text));
    const bytes = this.#id.byteLength + this.#title.byteLength + this.#text.byteLength;
    return this.#lines.length >= BATCH_ROWS || bytes >= BATCH_BYTES;
  }

  /** The rows since clear(), as views. */
  columns(): BatchColumns {
    return {
      rowCount: this.#lines.length,
      id: this.#id.column(),
      title: this.#title.column(),
      text: this.#text.column(),
      line: this.#lines.filled(),
      idCheck: this.#idChecks.filled(),
      textCheck: this.#textChecks.filled(),
    };
  }

  clear(): void {
    for (const part of [this.#id, this.#title, this.#text]) part.clear();
    for (const numbers of [this.#lines, this.#idChecks, this.#textChecks]) numbers.length = 0;
  }
}
