/** Takes an entry out of the cache: it vanishes by one rename, so nobody ever opens half of one. */
import { renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { systemCode } from "../failures.js";
import { buildingName } from "./builders.js";
import { identityOf } from "./manifest.js";

/**
 * Removes the entry that was seen. Files that are open or mapped elsewhere stay readable there.
 *
 * @param seen identityOf(folder) when it was looked at; another one that came in its place stays.
 * @returns whether it was removed.
 */
export function removeEntry(folder: string, seen: string): boolean {
  const trash = join(dirname(folder), buildingName());
  try {
    renameSync(folder, trash);
  } catch (thrown) {
    if (systemCode(thrown) === "ENOENT" || systemCode(thrown) === "ENOTDIR") return false;
    throw thrown;
  }
  if (identityOf(trash) !== seen && putBack(trash, folder)) return false;
  rmSync(trash, { recursive: true, force: true });
  return true;
}

/** False when somebody else's took the place meanwhile: equal keys, equal content. */
function putBack(trash: string, folder: string): boolean {
  try {
    renameSync(trash, folder);
    return true;
  } catch (thrown) {
    if (systemCode(thrown) === "ENOTEMPTY" || systemCode(thrown) === "EEXIST") return false;
    throw thrown;
  }
}
