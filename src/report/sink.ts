/** Where a reporter writes: a stream that may lose its reader at any moment without a stack trace. */

/** The part of a stream that reporters use; a terminal has `isTTY`, `columns` and `rows`. */
export interface OutputStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  readonly destroyed?: boolean;
  write(text: string, done?: (error?: Error | null) => void): boolean;
  on(event: "error" | "resize", listener: (error: Error) => void): unknown;
  off(event: "error" | "resize", listener: (error: Error) => void): unknown;
}

/** Streams whose late errors are already caught; the guard outlives the reporter, for a pipe reports its end late. */
const guarded = new WeakSet<OutputStream>();

/** Nobody reads any more: the pipe's reader left, or the terminal is gone. */
function isReaderGone(error: Error): boolean {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  return ["EPIPE", "EIO", "ERR_STREAM_DESTROYED", "ERR_STREAM_WRITE_AFTER_END"].includes(code);
}

/** Writes until the stream breaks, then keeps quiet. */
export class Sink {
  #isBroken = false;
  readonly #onError = (error: Error) => {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.onBroken(isReaderGone(error), error);
  };

  /** `onBroken` is called once, when the first write fails. */
  constructor(
    readonly stream: OutputStream,
    private readonly onBroken: (isReaderGone: boolean, error: Error) => void,
  ) {
    if (!guarded.has(stream)) {
      guarded.add(stream);
      stream.on("error", () => {});
    }
    stream.on("error", this.#onError);
  }

  write(text: string): void {
    if (this.#isBroken) return;
    try {
      this.stream.write(text);
    } catch (thrown) {
      this.#onError(thrown as Error);
    }
  }

  line(text: string): void {
    this.write(`${text}\n`);
  }

  /** Waits until everything written has left the process, or never will. */
  async close(): Promise<void> {
    if (!this.#isBroken && this.stream.destroyed !== true) {
      await new Promise<void>((resolve) => {
        this.stream.write("", () => resolve());
      });
    }
    this.stream.off("error", this.#onError);
  }
}
