/** The thread that writes a table: takes batches in order, gives their buffers back, ends with what was written. */
import { type MessagePort, workerData } from "node:worker_threads";
import { QuarryError } from "../../errors.js";
import { buffersOf, type RowBatch } from "./batch-builder.js";
import { type TablePlan, TableWriter, type WrittenTable } from "./table-writer.js";

/** How often progress is told. */
const PROGRESS_MS = 100;

/** What the thread starts with. */
export interface ThreadData {
  readonly plan: TablePlan;
  /** [1]: counts the messages that give buffers back, for one who cannot wait for a message. */
  readonly taken: Int32Array;
  readonly port: MessagePort;
}

/** To the thread: a batch, or null when there are no more. */
export type ToThread = RowBatch | null;

/** From the thread. */
export type FromThread =
  | { readonly kind: "free"; readonly batch: RowBatch }
  | { readonly kind: "progress"; readonly share: number }
  | { readonly kind: "written"; readonly table: WrittenTable }
  /** An error loses its code and hint on the way, so they travel beside it. */
  | { readonly kind: "failed"; readonly error: unknown; readonly code: string | null; readonly hint: string | null };

serve(workerData as ThreadData);

function serve({ plan, taken, port }: ThreadData): void {
  let writer: TableWriter | null = null;
  let toldAt = 0;

  const send = (message: FromThread, transfer: ArrayBuffer[] = []): void => {
    port.postMessage(message, transfer);
    if (message.kind === "progress") return;
    Atomics.add(taken, 0, 1);
    Atomics.notify(taken, 0);
  };
  const fail = (error: unknown): void => {
    writer?.abandon();
    const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
    const hint = error instanceof QuarryError ? (error.hint ?? null) : null;
    send({ kind: "failed", error, code, hint });
  };
  const pause = async (share: number): Promise<void> => {
    if (performance.now() - toldAt < PROGRESS_MS) return;
    toldAt = performance.now();
    send({ kind: "progress", share });
  };

  port.on("message", (batch: ToThread) => {
    try {
      writer ??= new TableWriter(plan);
      if (batch === null) {
        writer.finish(pause).then((table) => send({ kind: "written", table }), fail);
      } else {
        writer.put(batch);
        send({ kind: "free", batch }, buffersOf(batch));
      }
    } catch (thrown) {
      fail(thrown);
    }
  });
}
