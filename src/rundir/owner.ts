/** Who holds a lock, and whether that process still lives: a pid alone is not enough, for pids are used again. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { processStat } from "../process-stat.js";

/** A process that holds something. */
export interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Ticks after boot at which the process began; null where the system does not tell. */
  readonly startTicks: string | null;
  /** Changes with each boot, so that a pid from before is known to be dead. */
  readonly bootId: string | null;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Unique to this hold. */
  readonly token: string;
}

function bootId(): string | null {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return null;
  }
}

/** This process, as the owner of a new hold. */
export function thisProcess(): Owner {
  return {
    pid: process.pid,
    host: hostname(),
    startTicks: processStat(process.pid)?.startTicks ?? null,
    bootId: bootId(),
    since: Date.now(),
    token: randomBytes(8).toString("hex"),
  };
}

/** Whether the process may still be there. Of another machine's process nobody can know, so it counts as alive. */
export function isAlive(owner: Owner): boolean {
  if (owner.host !== hostname()) return true;
  if (owner.bootId !== null && owner.bootId !== bootId()) return false;
  try {
    process.kill(owner.pid, 0);
  } catch (thrown) {
    // EPERM: it is there, but belongs to another user.
    if ((thrown as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  const stat = processStat(owner.pid);
  if (stat === null || owner.startTicks === null) return true;
  return stat.isRunning && stat.startTicks === owner.startTicks;
}
