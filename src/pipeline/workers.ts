/** Asks about the workers of a run that is going on, and lets single ones go. */
import { readdir } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { QuarryError, stopIfAborted } from "../errors.js";
import type { Controlled, PoolControl } from "../pool/control.js";

/** A worker as `quarry workers` shows it. */
export type WorkerLine = Controlled["workers"][number];

/** What became of a worker that was drained: it `left`, or will (`leaving`), or the run's workers `ended` before it had. */
export type Drained = "leaving" | "left" | "ended";

/** Between two looks at whether a drained worker is gone. */
const LOOK_MS = 250;

/**
 * The workers of the run that is at work on a folder.
 *
 * @throws QuarryError ENVIRONMENT when none is.
 */
export async function listWorkers(runDir: string): Promise<readonly WorkerLine[]> {
  const control = await connect(runDir);
  try {
    return await control.list();
  } finally {
    control.close();
  }
}

/**
 * Takes a worker out of a run: it finishes what it has in hand, and its place stays empty.
 *
 * @param options `isWaiting: false` returns once the run has agreed, instead of when the worker is gone
 * @throws QuarryError CONFIG when there is no such worker or it is the last one, ENVIRONMENT when no run is at work.
 */
export async function drainWorker(
  runDir: string,
  worker: string,
  options: { readonly isWaiting?: boolean; readonly signal?: AbortSignal } = {},
): Promise<Drained> {
  const control = await connect(runDir);
  try {
    const { isDone, text } = await control.drain(worker);
    if (!isDone) throw new QuarryError("CONFIG", text, { hint: `quarry workers --run ${runDir}` });
    if (options.isWaiting === false) return "leaving";
    const isHere = async (): Promise<boolean> =>
      !control.isOver() && (await control.list()).some(({ name }) => name === worker);
    try {
      while (await isHere()) await delay(LOOK_MS, undefined, options.signal ? { signal: options.signal } : {});
    } catch (thrown) {
      // It did not answer because it has ended, and the worker with it.
      if (!control.isOver()) {
        stopIfAborted(options.signal);
        throw thrown;
      }
    }
    return control.isOver() ? "ended" : "left";
  } finally {
    control.close();
  }
}

/**
 * The run folder under `runs/` in which workers are at work, absolute.
 *
 * @throws QuarryError CONFIG when there are several, ENVIRONMENT when there is none.
 */
export async function findRunAtWork(cwd = process.cwd()): Promise<string> {
  const { hasPool } = await import("../pool/control.js");
  const names = await readdir(join(cwd, "runs")).catch(() => []);
  const folders = names.map((name) => resolve(cwd, "runs", name));
  const isAtWork = await Promise.all(folders.map(hasPool));
  const found = folders.filter((_, index) => isAtWork[index]);
  const [only] = found;
  if (only === undefined) {
    throw new QuarryError("ENVIRONMENT", "No run under runs/ has workers at work on this machine.", {
      hint: "Name the run's folder with --run.",
    });
  }
  if (found.length > 1) {
    const shortened = found.map((folder) => relative(process.cwd(), folder));
    throw new QuarryError("CONFIG", `Several runs are at work: ${shortened.join(", ")}.`, {
      hint: `Name one: --run ${shortened[0]}`,
    });
  }
  return only;
}

/** Loaded when it is called: most scripts have no use for a socket here. */
async function connect(runDir: string): Promise<PoolControl> {
  const { openControl } = await import("../pool/control.js");
  return openControl(resolve(runDir));
}
