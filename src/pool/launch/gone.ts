/** Whether processes of this machine have ended, and waiting for those that are about to. */
import { existsSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { processStat } from "../../process-stat.js";

const TRIES = 1_000;
const TRY_MS = 10;

/** Waits until the processes are gone: PR_SET_PDEATHSIG takes a few milliseconds. */
export async function gone(pids: Iterable<number>): Promise<void> {
  for (const pid of pids) {
    for (let tries = 0; tries < TRIES && isAlive(pid); tries += 1) await sleep(TRY_MS);
  }
}

/** Waits until nothing is left of a process group, whoever led it: the server that ranks are forked from. */
export async function groupGone(group: number): Promise<void> {
  for (let tries = 0; tries < TRIES && isGroupAlive(group); tries += 1) await sleep(TRY_MS);
}

/** Whether something ends in time, e.g. processes that were asked to. */
export function endsWithin(end: Promise<unknown>, limitMs: number): Promise<boolean> {
  const limit = new AbortController();
  const late = sleep(limitMs, false, { signal: limit.signal }).catch(() => false);
  return Promise.race([end.then(() => true), late]).finally(() => limit.abort());
}

/** Whether a process runs; one that only waits to be collected does not. */
export function isAlive(pid: number): boolean {
  // Orphans are init's to collect; some containers' init is slow at it, and a zombie does no harm.
  return processStat(pid)?.isRunning ?? (!hasProc() && answers(pid));
}

function isGroupAlive(group: number): boolean {
  if (!answers(-group)) return false;
  if (!hasProc()) return true;
  return readdirSync("/proc").some((entry) => {
    const stat = /^\d+$/.test(entry) ? processStat(entry) : null;
    return stat?.group === group && stat.isRunning;
  });
}

function answers(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const hasProc = (): boolean => existsSync("/proc/self/stat");
