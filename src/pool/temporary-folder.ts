/** Folders that only this user may enter and that go with this process: for sockets, tickets, answers of short commands. */
import { lstatSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { QuarryError } from "../errors.js";
import { hasEnded, processMark } from "../process-stat.js";

/** Where such folders may lie, the best first: TMPDIR may be missing, full, not writable, or too long for a socket. */
export function temporaryParents(): ReadonlySet<string> {
  // pool.json names the socket for commands that start in other folders.
  return new Set([resolve(tmpdir()), "/tmp"]);
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
      return writable(mkdtempSync(join(parent, prefix)));
    } catch (thrown) {
      cause = thrown;
    }
  }
  throw new QuarryError("ENVIRONMENT", `No temporary folder can be made: ${tmpdir()} and /tmp do not serve.`, {
    hint: "Set TMPDIR to a writable folder with a short path.",
    cause,
  });
}

/** On a full disk a folder can often still be made, and nothing be written into it. */
function writable(folder: string): string {
  const probe = join(folder, "probe");
  try {
    writeFileSync(probe, "x");
    rmSync(probe);
    return folder;
  } catch (thrown) {
    rmSync(folder, { recursive: true, force: true });
    throw thrown;
  }
}

/**
 * Makes a folder whose name tells whose it is, and removes those of processes that were killed. Sockets need shorter
 * names, and tell by themselves whether somebody listens.
 *
 * @example
 * const folder = makeOwnFolder();
 */
export function makeOwnFolder(): string {
  for (const parent of temporaryParents()) sweep(parent);
  return makeTemporaryFolder(`quarry-${processMark()}-`);
}

function sweep(parent: string): void {
  for (const name of namesIn(parent)) {
    const [, mark] = /^quarry-(.+)-\w{6}$/.exec(name) ?? [];
    if (mark === undefined || hasEnded(mark) !== true) continue;
    const folder = join(parent, name);
    try {
      if (lstatSync(folder).uid === process.getuid?.()) rmSync(folder, { recursive: true, force: true });
    } catch {
      // Another process removed it first: whoever comes next looks again.
    }
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
