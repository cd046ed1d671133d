/** What Linux tells of a process in one line of /proc. */
import { readFileSync } from "node:fs";

/** A part of proc_pid_stat(5). */
export interface ProcessStat {
  /** False for one that only waits to be collected. */
  readonly isRunning: boolean;
  readonly parent: number;
  readonly group: number;
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
    cpuTicks: number(11) + number(12),
    startTicks: fields[19] ?? "",
  };
}
