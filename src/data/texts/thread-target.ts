/** Hands batches to the writing thread, a few at a time, and gets their buffers and its failures back. */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import { type ErrorCode, EXIT_STATUS, interrupted, QuarryError } from "../../errors.js";
import { type BatchBuilder, buffersOf, type RowBatch } from "./batch-builder.js";
import type { TableTarget } from "./table-target.js";
import type { FromThread, ThreadData, ToThread } from "./table-thread.js";
import type { TablePlan, WrittenTable } from "./table-writer.js";

/** Batches underway from which on room() waits, and from which on put() does. */
const SOFT_LIMIT = 2;
const HARD_LIMIT = 3;
/** A thread that takes nothing for so long is taken for dead: it cannot say so while this thread waits for it. */
const PATIENCE_MS = 600_000;

export class ThreadTarget implements TableTarget {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #taken = new Int32Array(new SharedArrayBuffer(4));
  readonly #signal: AbortSignal | undefined;
  #underway = 0;
  #written: WrittenTable | null = null;
  #failure: { readonly thrown: unknown } | null = null;
  #onProgress: (share: number) => void = () => {};
  #onMessage: () => void = () => {};

  constructor(
    plan: TablePlan,
    private readonly builder: BatchBuilder,
    file: URL,
    signal: AbortSignal | undefined,
  ) {
    const { port1, port2 } = new MessageChannel();
    const workerData: ThreadData = { plan, taken: this.#taken, port: port2 };
    this.#signal = signal;
    this.#port = port1;
    this.#worker = new Worker(file, { workerData, transferList: [port2] });
    this.#worker.on("error", (error) => this.#fail(error));
    this.#worker.on("exit", (code) => this.#fail(died(`it ended with status ${code}`)));
    port1.on("message", (message: FromThread) => this.#take(message));
    signal?.addEventListener("abort", this.#abort);
  }

  put(batch: RowBatch): void {
    this.#waitForRoom();
    this.#throwIfFailed();
    this.#underway += 1;
    const message: ToThread = batch;
    this.#port.postMessage(message, buffersOf(batch));
  }

  async room(): Promise<void> {
    // A failure is told by put() or finish(), where nobody takes it for one of the source.
    await this.#until(() => this.#failure !== null || this.#underway < SOFT_LIMIT);
  }

  async finish(onProgress: (share: number) => void): Promise<WrittenTable> {
    this.#onProgress = onProgress;
    const message: ToThread = null;
    this.#port.postMessage(message, []);
    await this.#until(() => this.#failure !== null || this.#written !== null);
    if (this.#written === null) this.#throwIfFailed();
    return this.#written as WrittenTable;
  }

  async abandon(): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#worker.removeAllListeners("exit");
    this.#port.close();
    await this.#worker.terminate();
  }

  readonly #abort = (): void => this.#fail(interrupted({ cause: this.#signal?.reason }));

  #fail(thrown: unknown): void {
    this.#failure ??= { thrown };
    this.#onMessage();
  }

  #take(message: FromThread): void {
    if (message.kind === "free") {
      this.#underway -= 1;
      this.builder.giveBack(message.batch);
    } else if (message.kind === "progress") {
      this.#onProgress(message.share);
    } else if (message.kind === "written") {
      this.#written = message.table;
    } else {
      this.#failure ??= { thrown: failureOf(message) };
    }
    this.#onMessage();
  }

  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      await new Promise<void>((done) => {
        this.#onMessage = done;
      });
    }
  }

  /** For a reader that hands out many records in one turn: memory stays bounded, the event loop waits. */
  #waitForRoom(): void {
    const patientUntil = performance.now() + PATIENCE_MS;
    while (this.#failure === null && this.#underway >= HARD_LIMIT) {
      const taken = Atomics.load(this.#taken, 0);
      const next = receiveMessageOnPort(this.#port) as { readonly message: FromThread } | undefined;
      if (next !== undefined) this.#take(next.message);
      else if (performance.now() > patientUntil) this.#fail(died("it does not answer"));
      else Atomics.wait(this.#taken, 0, taken, 1000);
    }
  }

  #throwIfFailed(): void {
    if (this.#failure !== null) throw this.#failure.thrown;
  }
}

/** The error as it was thrown in the thread. */
function failureOf({ error, code, hint }: Extract<FromThread, { kind: "failed" }>): unknown {
  if (!(error instanceof Error) || code === null) return error;
  if (!(code in EXIT_STATUS)) return Object.assign(error, { code });
  return new QuarryError(code as ErrorCode, error.message, { cause: error, ...(hint === null ? {} : { hint }) });
}

function died(how: string): QuarryError {
  return new QuarryError("INTERNAL", `The thread that writes the table is gone: ${how}.`, {
    hint: "Run the same command again; with little memory left, end other programs first.",
  });
}
