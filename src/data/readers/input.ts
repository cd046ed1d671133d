/** A source file as a stream of big chunks: plain or gzip (told by its first bytes alone, whatever its name), with its bytes counted. */
import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { QuarryError } from "../../errors.js";
import { dataError, systemCode } from "../failures.js";
import { firstBytes, isGzip } from "./sample.js";

const CHUNK_BYTES = 4 << 20;

/** How far the reading of a file is; bytes count on the disk (compressed where the file is). */
export interface ReadProgress {
  readonly lines: number;
  readonly bytes: number;
}

export class InputFile {
  #bytesRead = 0;
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
    this.options.signal?.throwIfAborted();
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
   */
  async *chunks(onFault: (reason: string) => void): AsyncGenerator<Uint8Array> {
    const { signal } = this.options;
    const isPacked = isGzip(firstBytes(this.path, 2));
    const file = createReadStream(this.path, { highWaterMark: CHUNK_BYTES });
    file.on("data", (chunk) => {
      this.#bytesRead += chunk.length;
    });
    const stream = isPacked ? createGunzip({ chunkSize: CHUNK_BYTES }) : file;
    // pipe() leaves errors of the file behind; hand them on, or the loop below would wait for ever.
    if (isPacked) file.on("error", (error) => stream.destroy(error)).pipe(stream as ReturnType<typeof createGunzip>);
    try {
      for await (const chunk of stream) {
        await this.#room();
        signal?.throwIfAborted();
        yield chunk as Uint8Array;
      }
    } catch (thrown) {
      const code = systemCode(thrown);
      if (code.startsWith("Z_")) {
        onFault(code === "Z_BUF_ERROR" ? "the gzip data ends too early" : `the gzip data is damaged (${code})`);
      } else if (code !== "" && code !== "ABORT_ERR" && !(thrown instanceof QuarryError)) {
        throw new QuarryError("ENVIRONMENT", `${this.path}: cannot be read (${code}).`, {
          hint: "Check the file and its permissions.",
          cause: thrown,
        });
      } else {
        throw thrown;
      }
    } finally {
      file.destroy();
      stream.destroy();
    }
  }
}
