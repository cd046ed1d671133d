/** The user's home folder, which some containers do not tell. */
import { homedir } from "node:os";
import { join } from "node:path";
import { QuarryError } from "./errors.js";

/** Null where nothing tells: HOME is not set, and the user's id is in no list of users. */
export function homeFolder(): string | null {
  try {
    return homedir();
  } catch {
    return null;
  }
}

/**
 * The user's folder of caches.
 *
 * @param variable names the folder that is looked for in another way
 * @throws QuarryError ENVIRONMENT where nothing tells.
 */
export function userCaches(variable: string): string {
  const named = process.env["XDG_CACHE_HOME"];
  if (named) return named;
  const home = homeFolder();
  if (home !== null) return join(home, ".cache");
  throw new QuarryError("ENVIRONMENT", "HOME is not set, and the system knows no home folder of this user.", {
    hint: `Set ${variable} to a folder, or HOME.`,
  });
}
