/** Where batches of rows go: to a writer in this thread, or, where there is much to write, to one in a thread of its own. */
import { existsSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { stopIfAborted } from "../../errors.js";
import type { BatchBuilder, RowBatch } from "./batch-builder.js";
import { type TablePlan, TableWriter, type WrittenTable } from "./table-writer.js";
import { ThreadTarget } from "./thread-target.js";

/** Below this much source the start of a thread costs more than it saves. */
const THREAD_BYTES = 32 << 20;
/** How long a computation may keep the event loop waiting. */
const TURN_MS = 40;

/** Takes batches in order and writes the table's files. */
export interface TableTarget {
  /** Takes the buffers too; they come back to the builder. Waits, without turning the event loop, where too much is underway. */
  put(batch: RowBatch): void;
  /** Resolves when there is room for a batch, so that put() need not wait. */
  room(): Promise<void>;
  /** @param onProgress how much of the rest is done, 0 to 1. */
  finish(onProgress: (share: number) => void): Promise<WrittenTable>;
  /** Stops whatever still writes; does nothing after finish(). */
  abandon(): Promise<void>;
}

/**
 * The file that a writing thread for so much source runs, or null to write in this thread: for little, and where this
 * code does not run from its built files (TypeScript sources run directly, a bundle).
 */
export function threadFile(sourceBytes: number): URL | null {
  const file = new URL("./table-thread.js", import.meta.url);
  if (sourceBytes < THREAD_BYTES || file.protocol !== "file:") return null;
  return existsSync(fileURLToPath(file)) ? file : null;
}

/** @param thread see threadFile(). */
export function tableTarget(
  plan: TablePlan,
  builder: BatchBuilder,
  thread: URL | null,
  signal: AbortSignal | undefined,
): TableTarget {
  return thread === null ? new DirectTarget(plan, builder, signal) : new ThreadTarget(plan, builder, thread, signal);
}

class DirectTarget implements TableTarget {
  readonly #writer: TableWriter;

  constructor(
    plan: TablePlan,
    private readonly builder: BatchBuilder,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.#writer = new TableWriter(plan);
  }

  put(batch: RowBatch): void {
    this.#writer.put(batch);
    this.builder.giveBack(batch);
  }

  async room(): Promise<void> {}

  async finish(onProgress: (share: number) => void): Promise<WrittenTable> {
    let turnedAt = performance.now();
    return this.#writer.finish(async (share) => {
      if (performance.now() - turnedAt < TURN_MS) return;
      onProgress(share);
      await setImmediate();
      stopIfAborted(this.signal);
      turnedAt = performance.now();
    });
  }

  async abandon(): Promise<void> {
    this.#writer.abandon();
  }
}
