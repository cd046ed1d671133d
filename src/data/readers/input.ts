/** A source file as a stream of big chunks: plain or gzip, with its bytes counted. */
import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { QuarryError } from "../../errors.js";
import { systemCode } from "../failures.js";

const CHUNK_BYTES = 4 << 20;

/** How far the reading of a file is; bytes count on the disk (compressed where the file is). */
export interface ReadProgress {
  readonly lines: number;
  readonly bytes: number;
}

export class InputFile {
  #bytesRead = 0;

  constructor(
    readonly path: string,
    private readonly options: {
      readonly signal?: AbortSignal | undefined;
      readonly onProgress?: ((progress: ReadProgress) => void) | undefined;
    } = {},
  ) {}

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
    const file = createReadStream(this.path, { highWaterMark: CHUNK_BYTES });
    file.on("data", (chunk) => {
      this.#bytesRead += chunk.length;
    });
    const isGzip = this.path.endsWith(".gz");
    const stream = isGzip ? createGunzip({ chunkSize: CHUNK_BYTES }) : file;
    // pipe() leaves errors of the file behind; hand them on, or the loop below would wait for ever.
    if (isGzip) file.on("error", (error) => stream.destroy(error)).pipe(stream as ReturnType<typeof createGunzip>);
    try {
      for await (const chunk of stream) {
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
