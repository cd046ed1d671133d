/** What Linux tells of processes in /proc, and whether the process that left its mark somewhere still runs. */
import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";

/** A part of proc_pid_stat(5). */
export interface ProcessStat {
  /** False for one that only waits to be collected. */
  readonly isRunning: boolean;
  readonly parent: number;
  readonly group: number;
  /** The group in the foreground of its terminal; -1 without one. */
  readonly terminalGroup: number;
  /** Time on a processor, in ticks. */
  readonly cpuTicks: number;
  /** When it began, in ticks after boot: a number is given out again, this tells which process has it. */
  readonly startTicks: string;
}

/**
 * Null where there is no such process, or no /proc.
 *
 * @param process its number, or the path of a thread below /proc
 */
export function processStat(process: number | string): ProcessStat | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${process}/stat`, "latin1");
  } catch {
    return null;
  }
  // The name in parentheses may itself hold blanks and parentheses: fields count from the last one, state first.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const number = (at: number): number => Number(fields[at]);
  return {
    isRunning: fields[0] !== "Z" && fields[0] !== "X",
    parent: number(1),
    group: number(2),
    terminalGroup: number(5),
    cpuTicks: number(11) + number(12),
    startTicks: fields[19] ?? "",
  };
}

/**
 * Whether this process may take over its terminal: the kernel stops whoever changes its settings from the background, as
 * `quarry run … &` is. True where the system does not tell, and without a terminal of its own (`su -c`).
 */
export function isInForeground(): boolean {
  const stat = processStat("self");
  return stat === null || stat.terminalGroup === -1 || stat.terminalGroup === stat.group;
}

/** Changes with each boot, so that a process from before is known to be gone; null where the system does not tell. */
export function bootId(): string | null {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return null;
  }
}

/** The space of process numbers that this process sees: a number of another one, such as a container's, means nothing here. */
export function pidSpace(): string | null {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return null;
  }
}

/** Whether a number of that space says nothing here; false where a system does not tell, or did not. */
export function isOtherPidSpace(space: string | null | undefined): boolean {
  const here = pidSpace();
  return here !== null && space != null && space !== here;
}

let ownMark: string | null = null;

/**
 * A part of a name that tells who made it: `<machine>-<process>-<start>`. The machine stands for one boot of one kernel
 * and one space of process numbers.
 */
export function processMark(): string {
  ownMark ??= `${machine()}-${process.pid}-${startOf(process.pid) ?? 0}`;
  return ownMark;
}

/** Whether the process with a mark has ended; null where nobody here can know: it was of another machine or container. */
export function hasEnded(mark: string): boolean | null {
  const [, where, pid, start] = /^([0-9a-f]{8})-(\d+)-(\d+)$/.exec(mark) ?? [];
  return where !== undefined && where === machine() ? startOf(Number(pid)) !== start : null;
}

let ownMachine: string | null = null;

/** "" where the system does not tell. */
function machine(): string {
  if (ownMachine === null) {
    const [boot, space] = [bootId(), pidSpace()];
    const isTold = boot !== null && space !== null;
    ownMachine = isTold ? createHash("sha256").update(`${boot}\n${space}`).digest("hex").slice(0, 8) : "";
  }
  return ownMachine;
}

/** When a running process started, or null when there is none. */
function startOf(pid: number): string | null {
  const stat = processStat(pid);
  return stat?.isRunning === true ? stat.startTicks : null;
}
