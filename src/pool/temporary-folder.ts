/** Folders that only this user may enter and that go with this process: for sockets, tickets, answers of short commands. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { QuarryError } from "../errors.js";

/** Where such folders may lie, the best first: TMPDIR may be missing, full, not writable, or too long for a socket. */
export function temporaryParents(): ReadonlySet<string> {
  return new Set([tmpdir(), "/tmp"]);
}

/**
 * Makes a fresh folder of mode 0700.
 *
 * @param fits whether a parent will do.
 * @throws QuarryError ENVIRONMENT when there is no place for one.
 * @example
 * const folder = makeTemporaryFolder("quarry-");
 */
export function makeTemporaryFolder(prefix: string, fits: (parent: string) => boolean = () => true): string {
  let cause: unknown;
  for (const parent of temporaryParents()) {
    if (!fits(parent)) continue;
    try {
      return mkdtempSync(join(parent, prefix));
    } catch (thrown) {
      cause = thrown;
    }
  }
  throw new QuarryError("ENVIRONMENT", `No temporary folder can be made: ${tmpdir()} and /tmp do not serve.`, {
    hint: "Set TMPDIR to a writable folder with a short path.",
    cause,
  });
}
