/** Makes folders, lists those that may not be there, and removes what may stay as well. */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { isAbsent, systemCode } from "../failures.js";

/**
 * As mkdir with `recursive`, which never returns where a file system answers ENOENT inside of a folder that is there, as
 * /proc does (seen with Node 20.20).
 */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path);
  } catch (thrown) {
    const code = systemCode(thrown);
    if (code === "EEXIST") return;
    if (code !== "ENOENT" || dirname(path) === path) throw thrown;
    makeFolder(dirname(path));
    try {
      mkdirSync(path);
    } catch (again) {
      // Another process may have made it in between.
      if (systemCode(again) !== "EEXIST") throw again;
    }
  }
}

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
