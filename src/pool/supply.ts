/** Who may not see this disk, and is given the model's files before it is told to load it, and vectors, not their places. */
import { toQuarryError } from "../errors.js";
import type { DownMessage, Task, Unversioned } from "../protocol/messages.js";
import { ModelFiles } from "./model-files.js";
import type { UnitList } from "./types.js";

/** How a worker is spoken to. */
interface Line {
  send(worker: string, message: Unversioned<DownMessage>, frames?: readonly Uint8Array[]): void;
  kill(worker: string, reason: string): void;
}

/** Configures workers; those that came over TCP with a list of files. */
export class Supply {
  readonly #remote = new Set<string>();
  readonly #files = new ModelFiles();

  constructor(private readonly line: () => Line) {}

  /** This worker may not see this disk. */
  add(worker: string): void {
    this.#remote.add(worker);
  }

  forget(worker: string): void {
    this.#remote.delete(worker);
    this.#files.forget(worker);
  }

  /** @param isCurrent whether the worker still waits for this very task: hashing a model takes a while */
  configure(worker: string, task: Task, isCurrent: () => boolean): void {
    const line = this.line();
    const isRemote = this.#remote.has(worker);
    const own: Task = isRemote && task.kind === "search" ? { ...task, files: [] } : task;
    const configure = (): void => line.send(worker, { type: "configure", task: own });
    const checkpoints = checkpointsOf(task);
    if (!isRemote || checkpoints.length === 0) return configure();
    this.#files.announce(worker, checkpoints).then(
      (folders) => {
        if (!isCurrent()) return;
        for (const { checkpoint, files } of folders)
          line.send(worker, { type: "files", checkpoint, files: [...files] });
        configure();
      },
      (thrown: unknown) => {
        if (isCurrent()) line.kill(worker, `could not be given the model (${toQuarryError(thrown).message})`);
      },
    );
  }

  /** A unit as this worker takes it. */
  frame(worker: string, units: UnitList, index: number): Uint8Array {
    return (this.#remote.has(worker) ? units : (units.placed ?? units)).frame(index);
  }

  /** Answers a worker that asks for a piece of a file. */
  fetch(worker: string, checkpoint: string, file: string, offset: number): void {
    const line = this.line();
    this.#files.piece(worker, checkpoint, file, offset).then(
      (bytes) => {
        if (bytes === null) line.kill(worker, "asked for a file that nobody offered");
        else line.send(worker, { type: "piece", file, offset }, [bytes]);
      },
      (thrown: unknown) => line.kill(worker, `could not be given ${file} (${toQuarryError(thrown).message})`),
    );
  }
}

/** What a worker reads to do a task; a checkpoint that training goes on from holds the encoders of both sides. */
function checkpointsOf(task: Task): string[] {
  if (task.kind === "train" && task.resumeFrom !== null) return [task.resumeFrom];
  const { model } = task;
  if (model === null) return [];
  const queries = "queryCheckpoint" in model ? model.queryCheckpoint : null;
  return [...new Set([model.checkpoint, ...(queries === null ? [] : [queries])])];
}
