/** Lists folders that may not be there, and removes what may stay as well. */
import { readdirSync, rmSync } from "node:fs";
import { isAbsent } from "../failures.js";

/** What a folder holds; nothing where it is not there. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (thrown) {
    if (isAbsent(thrown)) return [];
    throw thrown;
  }
}

/** Removes a file or a folder where that is possible: even a forced removal fails below what is no folder. */
export function removeQuietly(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {}
}
