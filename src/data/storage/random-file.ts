/** Random access to a file's bytes: memory-mapped where possible, positional reads elsewhere. */
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { integrityError } from "../failures.js";
import { type MappedWindow, mapWindow, WINDOW_ALIGNMENT } from "./mmap.js";

interface Window {
  readonly start: number;
  readonly end: number;
  readonly bytes: Uint8Array;
  readonly ints: Int32Array;
  readonly mapped: MappedWindow;
}

/** Read-only bytes of one file. What it hands out stays valid after close(). */
export class RandomFile {
  /** Longest window: a view beyond 4 GiB ends the process. Tests make it small to have several. */
  static windowBytes = 2 ** 30;

  /** -1 where it is not needed: thousands of files may be mapped at once, but not as many be open. */
  #fd: number;
  readonly #inode: number;
  readonly #windows: readonly Window[] | null;

  private constructor(
    readonly path: string,
    readonly size: number,
    inode: number,
    fd: number,
    windows: readonly Window[] | null,
  ) {
    this.#inode = inode;
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
    try {
      // A mapping that reaches beyond the end of its file kills the process when touched (SIGBUS).
      const found = fstatSync(fd);
      if (found.size !== size) throw integrityError(path, "its length");
      const windows = process.env["QUARRY_NO_MMAP"] ? null : mapAll(fd, size, cuts);
      if (windows !== null) closeSync(fd);
      return new RandomFile(path, size, found.ino, windows === null ? fd : -1, windows);
    } catch (thrown) {
      closeSync(fd);
      throw thrown;
    }
  }

  /** Whether bytes() and int32() are views; otherwise each call reads and copies. */
  get isMapped(): boolean {
    return this.#windows !== null;
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
    if (offset < 0 || offset + length > this.size) throw integrityError(this.path, "its length");
    if (this.#windows !== null) {
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

  /**
   * Asks the system to read a range ahead, and goes on at once: on a cold disk each page that is touched without it
   * costs a wait of its own. Does nothing without a mapping.
   */
  willNeed(offset: number, length: number): void {
    if (length <= 0) return;
    for (const { start, end, mapped } of this.#windows ?? []) {
      const from = Math.max(offset, start);
      const to = Math.min(offset + length, end);
      if (from < to) mapped.willNeed(from - start, to - from);
    }
  }

  /**
   * Whether the file still has its length; a few µs. A file that somebody else cuts short ends the process when a page
   * beyond its end is touched, and reads as zeros in the last page; so ask before a batch is put together.
   */
  isWhole(): boolean {
    const found = statSync(this.path, { throwIfNoEntry: false });
    // One that was removed or replaced stays as it was for whoever has mapped it.
    return found?.ino !== this.#inode || found.size === this.size;
  }

  close(): void {
    if (this.#fd >= 0) {
      closeSync(this.#fd);
      this.#fd = -1;
    }
  }

  #windowOf(offset: number, length: number): Window | null {
    for (const window of this.#windows ?? []) {
      if (offset >= window.start && offset + length <= window.end) return window;
    }
    return null;
  }
}

/** Null when one of the windows cannot be mapped. */
function mapAll(fd: number, size: number, cuts: readonly number[]): Window[] | null {
  const windows: Window[] = [];
  let from = 0;
  while (from < size) {
    const start = from - (from % WINDOW_ALIGNMENT);
    let end = size;
    if (size - start > RandomFile.windowBytes) {
      const limit = start + RandomFile.windowBytes;
      // Where a batch is longer than a window, windows are cut anywhere, and what lies in two of them is copied.
      end = cuts.findLast((cut) => cut > from && cut <= limit) ?? limit;
    }
    const mapped = mapWindow(fd, start, end - start);
    if (mapped === null) return null;
    const ints = new Int32Array(mapped.buffer, 0, Math.floor(mapped.buffer.byteLength / 4));
    windows.push({ start, end, bytes: new Uint8Array(mapped.buffer), ints, mapped });
    from = end;
  }
  return windows;
}
