/** One process at a time in a run folder; the lock of a dead process is taken over, by exactly one of those who try. */
import { createHash } from "node:crypto";
import { link, readdir, readFile, rm, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { QuarryError } from "../errors.js";
import { temporaryName, temporarySuffix, writeFileDurably } from "./durable.js";
import { isAlive, isElsewhere, type Owner, thisProcess } from "./owner.js";

/** A lock that is held. */
export interface Lock {
  /** Gives it back; a second call does nothing. */
  release(): Promise<void>;
}

const takeoverWaitMs = 20;
const maxTries = 250;
/** A holder shows that it lives; who cannot see its process believes it dead after so long without a sign. */
const signEveryMs = 15_000;
const silenceMs = 120_000;

async function readOwner(path: string): Promise<Owner | null> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw thrown;
  }
  try {
    const owner = JSON.parse(text) as Owner;
    if (/^[0-9a-f]+$/.test(owner.token) && Number.isInteger(owner.pid) && typeof owner.host === "string") return owner;
  } catch {
    // Fall through: locks appear whole, so a broken one comes from a crash of the machine.
  }
  const token = createHash("sha256").update(text).digest("hex").slice(0, 16);
  return { pid: 0, host: "", startTicks: null, bootId: null, since: 0, token };
}

async function isHeld(path: string, owner: Owner): Promise<boolean> {
  if (owner.pid === 0 || !isAlive(owner)) return false;
  // Another container on this machine, or this one before its restart.
  return !isElsewhere(owner) || Date.now() - (await stat(path)).mtimeMs < silenceMs;
}

/**
 * Tries once to put `own` into the lock file; the answer is who holds it afterwards. A dead owner's lock is replaced
 * under a lock of its own whose name carries the dead one's token: of all who saw the same dead owner, one passes, and
 * whoever comes late finds another token and leaves. Should that one die as well, its lock is taken over the same way.
 */
async function claim(path: string, own: Owner): Promise<Owner | null> {
  const candidate = temporaryName(path);
  try {
    await writeFile(candidate, JSON.stringify(own), { flag: "wx", mode: 0o644, flush: true });
    await link(candidate, path);
    return own;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw thrown;
  } finally {
    await rm(candidate, { force: true });
  }
  const current = await readOwner(path);
  if (current === null || (await isHeld(path, current))) return current;
  const takeover = `${path}.${current.token}`;
  if ((await claim(takeover, own)) !== own) return null;
  try {
    if ((await readOwner(path))?.token !== current.token) return null;
    await writeFileDurably(path, JSON.stringify(own));
    return own;
  } finally {
    // Who holds the lock by now may have swept it away.
    await rm(takeover, { force: true });
  }
}

/** Removes what processes left that were killed while they reached for the lock; only called by who holds it. */
async function sweep(path: string): Promise<void> {
  const name = basename(path);
  for (const each of await readdir(dirname(path))) {
    const isTakeover = each.startsWith(`${name}.`);
    const isCandidate = each.startsWith(`.${name}.`) && each.endsWith(temporarySuffix);
    if (!isTakeover && !isCandidate) continue;
    const remains = join(dirname(path), each);
    const owner = await readOwner(remains);
    // One without a process is being written this very moment.
    if (owner !== null && owner.pid > 0 && !isAlive(owner)) await rm(remains, { force: true });
  }
}

/** Whether a process has the lock; nothing is changed. */
export async function isLocked(path: string): Promise<boolean> {
  const owner = await readOwner(path);
  return owner !== null && isHeld(path, owner).catch(() => false);
}

/**
 * Takes the lock of a run folder.
 *
 * @throws QuarryError CONFIG that names the process and the file while another process holds it.
 */
export async function acquireLock(path: string): Promise<Lock> {
  const own = thisProcess();
  for (let attempt = 0; attempt < maxTries; attempt++) {
    const owner = await claim(path, own);
    if (owner === own) {
      // What cannot be removed is in nobody's way.
      await sweep(path).catch(() => {});
      const sign = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), signEveryMs).unref();
      return {
        release: () => {
          clearInterval(sign);
          return release(path, own);
        },
      };
    }
    if (owner !== null) throw busy(path, owner);
    // Somebody gave it back or is taking it over this very moment.
    await sleep(takeoverWaitMs);
  }
  throw new QuarryError("CONFIG", `The lock ${path} changes hands all the time.`, {
    hint: "Let one run at a time use this folder, or choose another with --runDir.",
  });
}

function busy(path: string, owner: Owner): QuarryError {
  const since = new Date(owner.since).toISOString();
  const where = isElsewhere(owner) ? `${owner.host}, in another container,` : owner.host;
  return new QuarryError(
    "CONFIG",
    `The run folder is in use by process ${owner.pid} on ${where} since ${since} (${path}).`,
    {
      hint: isElsewhere(owner)
        ? "Wait for it, or choose another folder with --runDir. If that container is gone, the folder is free two minutes after its end."
        : `Wait for it, choose another folder with --runDir, or, if that process is gone, delete ${path}.`,
    },
  );
}

async function release(path: string, own: Owner): Promise<void> {
  if ((await readOwner(path))?.token !== own.token) return;
  await unlink(path);
}
