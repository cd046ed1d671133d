/** Does something while nobody holds a file's lock, through koffi; Node itself has no call for it. */
import { closeSync, openSync } from "node:fs";
import { createRequire } from "node:module";

const LOCK_EX = 2;
const LOCK_NB = 4;

type Flock = (fd: number, operation: number) => number;

let flock: Flock | null | undefined;

/** Null where there is no koffi for this system, or no such call. */
function bind(): Flock | null {
  if (process.platform === "win32") return null;
  try {
    const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
    return koffi.load(null).func("int flock(int fd, int operation)") as Flock;
  } catch {
    return null;
  }
}

/**
 * What `work` returns, done under the file's lock; false, and nothing done, where somebody else has a lock on it or nobody can
 * tell.
 */
export function whileUnlocked(path: string, work: () => boolean): boolean {
  if (flock === undefined) flock = bind();
  if (flock === null) return false;
  const file = openSync(path, "r+");
  try {
    return flock(file, LOCK_EX | LOCK_NB) === 0 && work();
  } finally {
    // Its lock goes with it.
    closeSync(file);
  }
}
