/** Makes folders, and lists those that may not be there. */
import { mkdirSync, readdirSync } from "node:fs";
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
