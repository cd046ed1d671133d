/** A source file as a stream of big chunks: plain or gzip (told by its first bytes alone, whatever its name), with its bytes counted. */
import { createReadStream, type ReadStream, statSync } from "node:fs";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { QuarryError, stopIfAborted } from "../../errors.js";
import { dataError, fileError, sourceError, systemCode } from "../failures.js";
import { firstBytes, isGzip } from "./sample.js";

/** To set aside more than a small file has costs more than to read it. */
const [LEAST_BYTES, CHUNK_BYTES] = [1 << 16, 4 << 20];

/** How far the reading of a file is; bytes count on the disk (compressed where the file is). */
export interface ReadProgress {
  readonly lines: number;
  readonly bytes: number;
}

export class InputFile {
  #bytesRead = 0;
  #hasContent = false;
  #onBadLine: (line: number, message: string) => void = () => {};
  #room: () => Promise<void> = () => Promise.resolve();

  constructor(
    readonly path: string,
    private readonly options: {
      readonly signal?: AbortSignal | undefined;
      readonly onProgress?: ((progress: ReadProgress) => void) | undefined;
      /** Whether lines that cannot be read are left out and counted; otherwise the first one is an error. */
      readonly isLenient?: boolean | undefined;
    } = {},
  ) {}

  /**
   * A record that cannot be read.
   *
   * @throws QuarryError DATA with file and line, unless bad lines are left out.
   */
  fault(line: number, message: string, hint: string): void {
    if (this.options.isLenient !== true) throw dataError(this.path, line, message, hint);
    this.#onBadLine(line, message);
  }

  /** Who counts the lines that are left out. */
  onBadLine(listener: (line: number, message: string) => void): void {
    this.#onBadLine = listener;
  }

  /** What to wait for before a chunk is handed out: that there is room for its records. It must not reject. */
  onChunk(room: () => Promise<void>): void {
    this.#room = room;
  }

  /** Bytes on the disk that were read so far. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** For readers that take the file's bytes by themselves: counts them, stops when asked to, waits for room. */
  async advance(bytes: number): Promise<void> {
    stopIfAborted(this.options.signal);
    this.#bytesRead += bytes;
    await this.#room();
  }

  /** Tells that all lines up to this one are done. */
  report(lines: number): void {
    this.options.onProgress?.({ lines, bytes: this.#bytesRead });
  }

  /**
   * The content, uncompressed. Ends early with what there is when a gzip file is cut short; then `onFault` is called
   * with the reason, so that the caller can say at which line.
   *
   * @throws QuarryError DATA for a file without content.
   */
  async *chunks(onFault: (reason: string) => void): AsyncGenerator<Uint8Array> {
    try {
      if (!isGzip(firstBytes(this.path, 2))) yield* this.#handedOut(this.#counted(0));
      // Node takes a zero byte behind a member for the end of the data, whatever follows it.
      else for (let at = 0; at !== -1; at = await firstNotZero(this.path, at)) at = yield* this.#unpacked(at);
    } catch (thrown) {
      const code = systemCode(thrown);
      if (code.startsWith("Z_")) {
        onFault(code === "Z_BUF_ERROR" ? "the gzip data ends too early" : `the gzip data is damaged (${code})`);
        return;
      }
      const isOfFile = code !== "" && code !== "ABORT_ERR" && !(thrown instanceof QuarryError);
      throw isOfFile ? sourceError(this.path, thrown) : thrown;
    }
    if (!this.#hasContent) throw fileError(this.path, "the file is empty.", "Give a file with at least one record.");
  }

  /** Members of gzip from the byte `start` on, up to the end of the file or a zero byte behind one; gives their end. */
  async *#unpacked(start: number): AsyncGenerator<Uint8Array, number> {
    const before = this.#bytesRead;
    const file = this.#counted(start);
    const members = createGunzip({ chunkSize: CHUNK_BYTES });
    // pipe() leaves errors of the file behind; hand them on, or the loop would wait for ever.
    file.on("error", (error) => members.destroy(error)).pipe(members);
    try {
      yield* this.#handedOut(members);
    } finally {
      file.destroy();
    }
    this.#bytesRead = before + members.bytesWritten;
    return start + members.bytesWritten;
  }

  #counted(start: number): ReadStream {
    const highWaterMark = Math.min(CHUNK_BYTES, Math.max(LEAST_BYTES, statSync(this.path).size + 1));
    const file = createReadStream(this.path, { start, highWaterMark });
    return file.on("data", (chunk) => {
      this.#bytesRead += chunk.length;
    });
  }

  async *#handedOut(stream: Readable): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of stream) {
        await this.#room();
        stopIfAborted(this.options.signal);
        this.#hasContent = true;
        yield chunk as Uint8Array;
      }
    } finally {
      stream.destroy();
    }
  }
}

/** The place of the first byte from `start` on that is not zero; -1 where there is none. */
async function firstNotZero(path: string, start: number): Promise<number> {
  let at = start;
  for await (const chunk of createReadStream(path, { start, highWaterMark: CHUNK_BYTES })) {
    const found = (chunk as Buffer).findIndex((byte) => byte !== 0);
    if (found !== -1) return at + found;
    at += chunk.length;
  }
  return -1;
}
