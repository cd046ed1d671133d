/** Waits for processes of this machine that are about to end. */
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Waits until the processes are gone: PR_SET_PDEATHSIG takes a few milliseconds. */
export async function gone(pids: Iterable<number>): Promise<void> {
  for (const pid of pids) {
    for (let tries = 0; tries < 200 && isAlive(pid); tries += 1) await sleep(10);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    // Orphans are init's to collect; some containers' init is slow at it, and a zombie does no harm.
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat[stat.lastIndexOf(")") + 2] !== "Z";
  } catch {
    // No /proc on this system: what kill says counts. With /proc it ended in between.
    return !existsSync("/proc/self/stat");
  }
}
