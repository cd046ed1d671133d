/** Writes one cache file: buffered, counted, hashed, and on the disk before it counts as written. */
import { createHash } from "node:crypto";
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";

const BUFFER_BYTES = 1 << 20;

/** What a manifest records of a file. */
export interface WrittenFile {
  readonly bytes: number;
  readonly sha256: string;
}

export class FileSink {
  readonly #fd: number;
  readonly #hash = createHash("sha256");
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #bytes = 0;
  #isOpen = true;

  constructor(path: string) {
    this.#fd = openSync(path, "wx", 0o644);
  }

  /** Bytes taken so far. */
  get position(): number {
    return this.#bytes;
  }

  /** Takes bytes that the caller does not change any more. */
  write(bytes: Uint8Array): void {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.byteLength;
    this.#bytes += bytes.byteLength;
    if (this.#pendingBytes >= BUFFER_BYTES) this.flush();
  }

  flush(): void {
    for (const bytes of this.#pending) {
      this.#hash.update(bytes);
      for (let done = 0; done < bytes.byteLength; ) done += writeSync(this.#fd, bytes, done);
    }
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  /** Flushes to the disk and closes. */
  finish(): WrittenFile {
    this.flush();
    fsyncSync(this.#fd);
    this.abandon();
    return { bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }

  /** Closes without a promise about the content; does nothing after finish(). */
  abandon(): void {
    if (this.#isOpen) closeSync(this.#fd);
    this.#isOpen = false;
  }
}
