/** Writes one cache file: buffered, counted, hashed, and on the disk before it counts as written. */
import { createHash } from "node:crypto";
import { closeSync, fdatasync, fsync, fsyncSync, openSync, writeSync } from "node:fs";
import { promisify } from "node:util";

const BUFFER_BYTES = 1 << 20;
/** How much may wait for the disk before its writing is started: the last flush then has little left to do. */
const AHEAD_BYTES = 256 << 20;

/** Neither a hash nor a write takes 2 GiB in one call. */
const PIECE_BYTES = 64 << 20;

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
  #syncedBytes = 0;
  #syncing: Promise<void> | null = null;
  #syncError: Error | null = null;
  #isOpen = true;

  constructor(
    path: string,
    private readonly pieceBytes = PIECE_BYTES,
  ) {
    this.#fd = openSync(path, "wx", 0o644);
  }

  /** Takes bytes that the caller does not change before the next flush(). */
  write(bytes: Uint8Array): void {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.byteLength;
    this.#bytes += bytes.byteLength;
    if (this.#pendingBytes >= BUFFER_BYTES) this.flush();
  }

  flush(): void {
    for (const bytes of this.#pending) {
      for (let at = 0; at < bytes.byteLength; at += this.pieceBytes) {
        const piece = bytes.subarray(at, at + this.pieceBytes);
        this.#hash.update(piece);
        for (let done = 0; done < piece.byteLength; ) done += writeSync(this.#fd, piece, done);
      }
    }
    this.#pending = [];
    this.#pendingBytes = 0;
    if (this.#bytes - this.#syncedBytes >= AHEAD_BYTES) this.#syncAhead();
  }

  /** Brings everything to the disk without stopping the event loop; finish() has little left to do then. */
  async sync(): Promise<void> {
    this.flush();
    await this.#syncing;
    await promisify(fsync)(this.#fd);
  }

  /** Flushes to the disk and closes. */
  finish(): WrittenFile {
    this.flush();
    fsyncSync(this.#fd);
    // An error of the disk is told once only: to whoever asked first.
    if (this.#syncError !== null) throw this.#syncError;
    this.abandon();
    return { bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }

  /** Closes without a promise about the content; does nothing after finish(). */
  abandon(): void {
    const wasOpen = this.#isOpen;
    this.#isOpen = false;
    // The number of a closed descriptor may be given to another file: wait until nobody uses it.
    if (wasOpen && this.#syncing !== null) void this.#syncing.then(() => closeSync(this.#fd));
    else if (wasOpen) closeSync(this.#fd);
  }

  #syncAhead(): void {
    if (this.#syncing !== null) return;
    this.#syncedBytes = this.#bytes;
    this.#syncing = new Promise((done) => {
      fdatasync(this.#fd, (error) => {
        this.#syncError ??= error;
        this.#syncing = null;
        done();
      });
    });
  }
}
