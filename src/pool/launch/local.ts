/** Starts one process on this machine, keeps its output in a log file, and tells how it ended. */
import { closeSync, fstatSync, mkdirSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { execa, type Options } from "execa";
import type { PythonEnvironment } from "../../python/environment.js";
import { reapOnExit } from "./reaper.js";

/** A process to start. */
export interface LaunchOptions {
  /** Names the log file, `<logDir>/<name>.log`. */
  readonly name: string;
  /** Program and arguments. */
  readonly command: readonly string[];
  readonly python: PythonEnvironment;
  /** Added to the environment of the Python environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly logDir: string;
  /** Written to stdin, which then stays open, or ends where the process reads to its end. */
  readonly input?: { readonly text: string; readonly isAll: boolean };
  /** It sees by itself when this process ends, and has something to do then. */
  readonly isHeld?: boolean;
}

/** How a process ended. */
export interface Ending {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** Few words: "ended with status 3", "killed by SIGKILL". */
  readonly how: string;
  /** The last lines of its log, oldest first; empty when it wrote nothing. */
  readonly lastLines: readonly string[];
}

/** A process that was started. */
export interface LocalProcess {
  readonly name: string;
  readonly pid: number | undefined;
  /** Resolves once, however the process ended or failed to start; never rejects. */
  readonly ended: Promise<Ending>;
  /** Sends a signal to the process and whatever it started; does nothing once it is gone. */
  signal(name: "SIGTERM" | "SIGKILL" | "SIGINT"): void;
}

const LAST_LINES = 12;
const LAST_BYTES = 8_192;

/**
 * Starts a process in a session of its own, so that a Ctrl-C on the terminal reaches the orchestrator alone, which then
 * decides. Call it from the main thread: PDEATHSIG follows the thread that spawned.
 *
 * @example
 * const worker = launchLocal({ name: "worker-0", command: [python.executable, "-m", "quarry_runtime", "worker"], python, logDir });
 * const { how } = await worker.ended;
 */
export function launchLocal(options: LaunchOptions): LocalProcess {
  const log = openLog(options.logDir, options.name);
  const [program, ...rest] = options.command;
  if (program === undefined) throw new Error("a command has at least a program");
  const settings = {
    env: { ...options.python.env, ...options.env },
    extendEnv: false,
    // A pipe that nothing more is written to: its end tells the child that the orchestrator is gone.
    stdin: "pipe",
    // Straight into the file, not through this process: a busy orchestrator must not hold up a worker that logs.
    // The types know the standard descriptors only; any open one is handed to the child as it is.
    stdout: log.descriptor as 1,
    stderr: log.descriptor as 2,
    buffer: false,
    reject: false,
    detached: true,
    cleanup: false,
  } as const satisfies Options;
  const child = execa(program, rest, settings);
  closeSync(log.descriptor);
  child.stdin.on("error", () => {}); // EPIPE of a dead child is told by `ended`
  if (options.input !== undefined) child.stdin.write(options.input.text);
  if (options.input?.isAll === true) child.stdin.end();
  const { pid } = child;
  const forget = pid === undefined || options.isHeld === true ? () => {} : reapOnExit(pid);
  const ended = child.then((result): Ending => {
    forget();
    const { exitCode = null, signal = null } = result;
    return { exitCode, signal, how: howItEnded(result), lastLines: tail(log) };
  });
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  return {
    name: options.name,
    pid,
    ended,
    signal: (name) => {
      if (pid !== undefined && !isOver) killGroup(pid, name);
    },
  };
}

/** The log of one life of a process. */
export interface Log {
  readonly path: string;
  readonly descriptor: number;
  /** Bytes that earlier lives wrote. */
  readonly start: number;
}

/** Opens `<folder>/<name>.log` to write to its end, for its owner alone. */
export function openLog(folder: string, name: string): Log {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.log`);
  const descriptor = openSync(path, "a", 0o600);
  return { path, descriptor, start: fstatSync(descriptor).size };
}

/** Few words that follow a process's name. */
export function howItEnded(ending: {
  readonly exitCode?: number | null | undefined;
  readonly signal?: string | null | undefined;
  readonly originalMessage?: string | undefined;
}): string {
  const { exitCode, signal, originalMessage = "no reason is known" } = ending;
  if (signal != null) return `killed by ${signal}`;
  return exitCode != null ? `ended with status ${exitCode}` : `could not be started (${originalMessage})`;
}

/** A detached child leads a group of its own pid; whatever it forked goes with it. */
export function killGroup(pid: number, signal: NodeJS.Signals): void {
  for (const target of [-pid, pid]) {
    try {
      process.kill(target, signal);
      return;
    } catch {
      // ESRCH: gone, or the group is not there yet; then the process itself.
    }
  }
}

/** The last lines of a log, of what this life of the process wrote. */
export function tail({ path, start }: Omit<Log, "descriptor">): string[] {
  let log: number;
  try {
    log = openSync(path, "r");
  } catch {
    return []; // the folder was removed by its owner
  }
  try {
    const from = Math.max(start, fstatSync(log).size - LAST_BYTES);
    const buffer = Buffer.alloc(LAST_BYTES);
    const size = readSync(log, buffer, 0, LAST_BYTES, from);
    const lines = buffer.subarray(0, size).toString("utf8").split("\n");
    return lines.filter((line) => line.trim() !== "").slice(-LAST_LINES);
  } finally {
    closeSync(log);
  }
}
