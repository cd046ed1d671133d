/** Writes numbers piece by piece as CheckedFile reads them: the data, then the crc32 of each block; nothing is joined in memory. */
import { crc32 } from "node:zlib";
import { BLOCK_BYTES } from "./checked-file.js";
import { FileSink, type WrittenFile } from "./file-sink.js";

/** Numbers are collected up to this size before they go to the sink. */
const BUFFER_NUMBERS = 1 << 14;

export class CheckedWriter {
  readonly #buffer = new Int32Array(BUFFER_NUMBERS);
  readonly #floats = new Float32Array(this.#buffer.buffer);
  readonly #sums: number[] = [];
  #filled = 0;
  #sum = 0;
  #blockBytes = 0;

  constructor(private readonly sink: FileSink) {}

  int32(value: number): void {
    if (this.#filled === BUFFER_NUMBERS) this.#flush();
    this.#buffer[this.#filled] = value;
    this.#filled += 1;
  }

  float32(value: number): void {
    if (this.#filled === BUFFER_NUMBERS) this.#flush();
    this.#floats[this.#filled] = value;
    this.#filled += 1;
  }

  /** Takes many numbers at once; the caller may change them when this returns. */
  write(numbers: Int32Array): void {
    this.#flush();
    this.#put(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength));
  }

  /** Writes the checksums. */
  finish(): void {
    this.#flush();
    if (this.#blockBytes > 0) this.#sums.push(this.#sum);
    this.sink.write(new Uint8Array(Uint32Array.from(this.#sums).buffer));
  }

  #flush(): void {
    this.#put(new Uint8Array(this.#buffer.buffer, 0, this.#filled * 4));
    this.#filled = 0;
  }

  #put(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength; ) {
      const end = Math.min(bytes.byteLength, at + BLOCK_BYTES - this.#blockBytes);
      this.#sum = crc32(bytes.subarray(at, end), this.#sum);
      this.#blockBytes += end - at;
      at = end;
      if (this.#blockBytes === BLOCK_BYTES) {
        this.#sums.push(this.#sum);
        this.#sum = 0;
        this.#blockBytes = 0;
      }
    }
    this.sink.write(bytes);
    // The bytes are overwritten next, so nothing of them may stay behind in the sink.
    this.sink.flush();
  }
}

/** Writes a file of arrays, one after the other, in one go; readChecked gives them back. */
export function writeChecked(path: string, arrays: readonly Int32Array[]): WrittenFile {
  const sink = new FileSink(path);
  try {
    const writer = new CheckedWriter(sink);
    for (const array of arrays) writer.write(array);
    writer.finish();
    return sink.finish();
  } finally {
    sink.abandon();
  }
}
