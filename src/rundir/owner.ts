/** Who holds a lock, and whether that process still lives: a pid alone is not enough, for pids are used again. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { bootId, isOtherPidSpace, pidSpace, processStat } from "../process-stat.js";

/** A process that holds something. */
export interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Ticks after boot at which the process began; null where the system does not tell. */
  readonly startTicks: string | null;
  /** Changes with each boot, so that a pid from before is known to be dead. */
  readonly bootId: string | null;
  /** Of process numbers; null where the system does not tell, undefined in a hold of an earlier version. */
  readonly pidSpace?: string | null;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Unique to this hold. */
  readonly token: string;
}

/** This process, as the owner of a new hold. */
export function thisProcess(): Owner {
  return {
    pid: process.pid,
    host: hostname(),
    startTicks: processStat(process.pid)?.startTicks ?? null,
    bootId: bootId(),
    pidSpace: pidSpace(),
    since: Date.now(),
    token: randomBytes(8).toString("hex"),
  };
}

/** Whether a host of this name is another place: a container, say, whose process numbers mean nothing here. */
export function isElsewhere(owner: Owner): boolean {
  return owner.host === hostname() && isOtherPidSpace(owner.pidSpace);
}

/**
 * Whether the process may still be there. Of a process on another machine, or in another space of process numbers,
 * nobody can know, so it counts as alive.
 */
export function isAlive(owner: Owner): boolean {
  if (owner.host !== hostname()) return true;
  if (owner.bootId !== null && owner.bootId !== bootId()) return false;
  if (isElsewhere(owner)) return true;
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
