/** Random access to a file's bytes: memory-mapped where possible, positional reads elsewhere. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { integrityError } from "../failures.js";
import { mapWindow } from "./mmap.js";

const PAGE = 4096;
const WINDOW_BYTES = 2 ** 30;

interface Window {
  readonly start: number;
  readonly end: number;
  readonly bytes: Uint8Array;
  readonly ints: Int32Array;
}

/** Read-only bytes of one file. What it hands out stays valid after close(). */
export class RandomFile {
  #fd: number | null;
  readonly #windows: readonly Window[];

  private constructor(
    readonly path: string,
    readonly size: number,
    fd: number | null,
    windows: readonly Window[],
  ) {
    this.#fd = fd;
    this.#windows = windows;
  }

  /**
   * @param size the size that the file must have.
   * @param cuts ascending offsets at which a window may end, so that no range that is asked for lies in two.
   * @throws QuarryError INTEGRITY when the size differs.
   */
  static open(path: string, size: number, cuts: readonly number[]): RandomFile {
    const fd = openSync(path, "r");
    let isKept = false;
    try {
      // A mapping that reaches beyond the end of its file kills the process when touched (SIGBUS).
      if (fstatSync(fd).size !== size) throw integrityError(path, "its length");
      const windows = process.env["QUARRY_NO_MMAP"] ? null : mapAll(fd, size, cuts);
      isKept = windows === null;
      return new RandomFile(path, size, windows === null ? fd : null, windows ?? []);
    } finally {
      if (!isKept) closeSync(fd);
    }
  }

  /** Whether bytes() and int32() are views; otherwise each call reads and copies. */
  get isMapped(): boolean {
    return this.#fd === null;
  }

  bytes(offset: number, length: number): Uint8Array {
    const window = this.#windowOf(offset, length);
    if (window !== null) return window.bytes.subarray(offset - window.start, offset - window.start + length);
    const copy = new Uint8Array(length);
    this.copyTo(copy, 0, offset, length);
    return copy;
  }

  /** `offset` is a multiple of 4. */
  int32(offset: number, count: number): Int32Array {
    const window = this.#windowOf(offset, count * 4);
    if (window !== null) return window.ints.subarray((offset - window.start) / 4, (offset - window.start) / 4 + count);
    return new Int32Array(this.bytes(offset, count * 4).buffer);
  }

  copyTo(target: Uint8Array, at: number, offset: number, length: number): void {
    if (this.#fd === null) {
      for (const window of this.#windows) {
        const from = Math.max(offset, window.start);
        const to = Math.min(offset + length, window.end);
        if (from < to) target.set(window.bytes.subarray(from - window.start, to - window.start), at + from - offset);
      }
      return;
    }
    for (let done = 0; done < length; ) {
      const read = readSync(this.#fd, target, at + done, length - done, offset + done);
      if (read === 0) throw integrityError(this.path, "its length");
      done += read;
    }
  }

  close(): void {
    if (this.#fd !== null && this.#fd >= 0) {
      closeSync(this.#fd);
      this.#fd = -1;
    }
  }

  #windowOf(offset: number, length: number): Window | null {
    for (const window of this.#windows) {
      if (offset >= window.start && offset + length <= window.end) return window;
    }
    return null;
  }
}

function mapAll(fd: number, size: number, cuts: readonly number[]): Window[] | null {
  const windows: Window[] = [];
  let from = 0;
  while (from < size) {
    const start = from - (from % PAGE);
    let end = size;
    if (size - start > WINDOW_BYTES) {
      const fitting = cuts.filter((cut) => cut > from && cut - start <= WINDOW_BYTES);
      end = fitting.at(-1) ?? start + WINDOW_BYTES;
    }
    const buffer = mapWindow(fd, start, end - start);
    if (buffer === null) return null;
    const ints = new Int32Array(buffer, 0, Math.floor(buffer.byteLength / 4));
    windows.push({ start, end, bytes: new Uint8Array(buffer), ints });
    from = end;
  }
  return windows;
}
