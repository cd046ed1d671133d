/** What all launchers of workers on other machines have in common: a ticket goes in over stdin, a watched process comes out. */
import type { PythonEnvironment } from "../../python/environment.js";
import { type Ending, launchLocal } from "./local.js";

/** Something on this machine that keeps workers on others running: ssh, srun, sbatch, torchrun. */
export interface NodeProcess {
  /** Resolves once, however it ended or failed to start; never rejects. */
  readonly ended: Promise<Ending>;
  /** Asks it to end; a second time it is made to. */
  stop(): void;
}

/** One way to bring workers of other machines to a run. */
export interface NodeLauncher {
  /** Names it for people: "ssh gpu1". */
  readonly label: string;
  /**
   * Starts it; call it from the main thread.
   *
   * @param ticket the one-line form; it may stand in no argument and no environment variable
   */
  start(ticket: string): NodeProcess;
}

/** What launchers start with. */
export interface LaunchSettings {
  /** Names the log file. */
  readonly name: string;
  readonly python: PythonEnvironment;
  readonly logDir: string;
  /** Arguments of the interpreter in place of `quarry_runtime join`. */
  readonly arguments?: readonly string[];
}

/** The part of a node's options that says how `quarry_runtime join` is called there. */
export interface JoinOptions {
  readonly python?: string | undefined;
  readonly directory?: string | undefined;
  readonly device: string;
  readonly threads?: number | undefined;
  readonly address?: string | undefined;
}

/** Interpreter and module path of a node; what is not said is as on this machine. */
export function placeOf(
  node: JoinOptions,
  { python }: LaunchSettings,
): { readonly python: string; readonly path: string } {
  return { python: node.python ?? python.executable, path: node.directory ?? python.env["PYTHONPATH"] ?? "" };
}

/** Arguments of the interpreter; `ticket` is a path, or "-" for stdin. */
export function joinArguments(node: JoinOptions, ticket = "-", workers?: number): string[] {
  return [
    ...["-m", "quarry_runtime", "join", "--ticket", ticket, "--device", node.device],
    ...(workers === undefined ? [] : ["--workers", String(workers)]),
    ...(node.threads === undefined ? [] : ["--threads", String(node.threads)]),
    ...(node.address === undefined ? [] : [node.address]),
  ];
}

/**
 * A process of this machine as the hand that holds a node; it ends with this one in any way (see hold.py).
 *
 * @param job name of a batch job, which is cancelled when the process ends, however it does
 */
export function startNode(
  command: readonly string[],
  { name, python, logDir }: LaunchSettings,
  input: { readonly text: string; readonly isAll: boolean },
  job?: string,
): NodeProcess {
  const hold = ["-m", "quarry_runtime", "hold", "--parent", String(process.pid)];
  const held = [python.executable, ...hold, ...(job === undefined ? [] : ["--job", job]), "--", ...command];
  const started = launchLocal({ name, command: held, python, logDir, input, isHeld: true });
  let isAsked = false;
  return {
    ended: started.ended,
    stop: () => {
      started.signal(isAsked ? "SIGKILL" : "SIGTERM");
      isAsked = true;
    },
  };
}

/** A word as a POSIX shell takes it for exactly this word. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
