/** Makes a folder and those above it. */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";

/**
 * As mkdir with `recursive`, which never returns where a file system answers ENOENT inside of a folder that is there, as
 * /proc does (seen with Node 20.20). What is there already, a file too, stays.
 */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === "EEXIST") return;
    if (code !== "ENOENT" || dirname(path) === path) throw thrown;
    makeFolder(dirname(path));
    try {
      mkdirSync(path);
    } catch (again) {
      // Another process may have made it in between.
      if ((again as NodeJS.ErrnoException).code !== "EEXIST") throw again;
    }
  }
}
