/** Starts workers as forks of one process that has made their imports (see fork_server.py), kept from pool to pool. */
import { closeSync } from "node:fs";
import type { Socket } from "node:net";
import { constants } from "node:os";
import { createInterface } from "node:readline";
import { execa, type Options } from "execa";
import { z } from "zod";
import type { PythonEnvironment } from "../../python/environment.js";
import { isAlive } from "./gone.js";
import { type Ending, howItEnded, killGroup, type LocalProcess, type Log, openLog, tail } from "./local.js";
import { reapOnExit } from "./reaper.js";

/** A fork to make. */
export interface ForkOptions {
  /** Names the log file, `<logDir>/<name>.log`. */
  readonly name: string;
  /** Arguments of `python -m quarry_runtime`. */
  readonly argv: readonly string[];
  readonly python: PythonEnvironment;
  /** Added to its environment; libraries read it when they are imported, so each has a server of its own. */
  readonly env: Readonly<Record<string, string>>;
  /** The server's own log lies in that of its first fork. */
  readonly logDir: string;
  /** A socket file that is listened on and takes the output, in place of the log file. */
  readonly output?: string;
}

/** A fork; `pid` is known once it has `started`. */
export interface ForkedProcess extends LocalProcess {
  /** Resolves when it is made, or never will be. */
  readonly started: Promise<void>;
}

/** What fork_server.py tells. */
const answer = z.union([
  z.strictObject({ forked: z.int(), pid: z.int() }),
  z.strictObject({ refused: z.int(), why: z.string() }),
  z.strictObject({ ended: z.int(), status: z.int() }),
]);

/** How long a server without forks is kept for the next pool: it holds some 250 MB. */
const LINGER_MS = 60_000;
/** For the server to tell the end of a fork that was killed; it may hang itself. */
const UNTOLD_MS = 1_000;
/** Elsewhere libraries (macOS's own above all) do not survive a fork after they are loaded. */
export const canFork = process.platform === "linux";

const SIGNALS = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));
const servers = new Map<string, ForkServer>();

/** Forks a process that leads a session of its own, as `launchLocal` starts one; call it from the main thread. */
export function launchFork(options: ForkOptions): ForkedProcess {
  return serverOf(options).fork(options);
}

function serverOf(options: ForkOptions): ForkServer {
  // Which GPUs are seen is each fork's own affair: one that names none must not get those of the first.
  const { CUDA_VISIBLE_DEVICES: _, ...common } = options.python.env;
  const { executable } = options.python;
  const key = JSON.stringify([executable, common, options.env]);
  const known = servers.get(key);
  if (known !== undefined) return known;
  const server = new ForkServer({ ...options, python: { executable, env: common } }, () => {
    if (servers.get(key) === server) servers.delete(key);
  });
  servers.set(key, server);
  return server;
}

/** A fork, made or asked for. */
class Fork implements ForkedProcess {
  readonly name: string;
  readonly started: Promise<void>;
  readonly ended: Promise<Ending>;
  readonly #log: Pick<Log, "path" | "start">;
  #begin: () => void = () => {};
  #end: (ending: Ending) => void = () => {};
  #pid: number | undefined;
  #forget: () => void = () => {};
  readonly #onUntold: () => void;
  #untold: NodeJS.Timeout | null = null;
  #isOver = false;

  /** @param onUntold it is over, and its server has not said so */
  constructor(name: string, log: Pick<Log, "path" | "start">, onUntold: () => void) {
    this.name = name;
    this.#log = log;
    this.#onUntold = onUntold;
    this.started = new Promise((resolve) => {
      this.#begin = resolve;
    });
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  get pid(): number | undefined {
    return this.#pid;
  }

  made(pid: number): void {
    this.#pid = pid;
    this.#forget = reapOnExit(pid);
    this.#begin();
  }

  signal(name: NodeJS.Signals): void {
    if (this.#isOver) return;
    // The server may be busy with its imports, or hang: nobody waits for what has not begun.
    if (this.#pid === undefined) return this.#giveUp(name);
    const pid = this.#pid;
    killGroup(pid, name);
    if (name !== "SIGKILL") return;
    this.#untold ??= setInterval(() => {
      if (!isAlive(pid)) this.#giveUp(name);
    }, UNTOLD_MS);
  }

  /** Says how it ended; `lastLines` where its own log has none. */
  over(ending: Omit<Ending, "lastLines">, lastLines: readonly string[] = []): void {
    this.#isOver = true;
    if (this.#untold !== null) clearInterval(this.#untold);
    this.#forget();
    this.#begin();
    const own = tail(this.#log);
    this.#end({ ...ending, lastLines: own.length > 0 ? own : lastLines });
  }

  #giveUp(signal: NodeJS.Signals): void {
    this.over({ exitCode: null, signal, how: howItEnded({ signal }) });
    this.#onUntold();
  }
}

/** The process that forks, its requests and what it tells. */
class ForkServer {
  readonly #asked = new Map<number, Fork>();
  readonly #made = new Map<number, Fork>();
  readonly #requests: Socket;
  readonly #answers: Socket;
  readonly #onEnd: () => void;
  readonly #pid: number | undefined;
  #count = 0;
  #linger: NodeJS.Timeout | undefined;

  constructor({ python, env, logDir }: ForkOptions, onEnd: () => void) {
    const log = openLog(logDir, "fork-server");
    const settings = {
      env: { ...python.env, ...env },
      extendEnv: false,
      // Requests in, answers out, and a pipe that nothing is written to: its end tells all forks that this process is gone.
      stdio: ["pipe", "pipe", log.descriptor as 2, "pipe"],
      buffer: false,
      reject: false,
      detached: true,
      cleanup: false,
    } as const satisfies Options;
    const child = execa(python.executable, ["-m", "quarry_runtime", "fork-server"], settings);
    closeSync(log.descriptor);
    this.#onEnd = onEnd;
    this.#pid = child.pid;
    this.#requests = child.stdin as Socket;
    this.#answers = child.stdout as Socket;
    this.#requests.on("error", () => {}); // EPIPE of a dead server is told by its end
    const forget = child.pid === undefined ? () => {} : reapOnExit(child.pid);
    createInterface({ input: this.#answers }).on("line", (line) => this.#hear(line));
    void child.then((result) => {
      forget();
      onEnd();
      // As the death of the one that was killed: whoever was forked from it may be started again.
      const { signal = null } = result;
      const what = signal === null ? "lost" : "killed with";
      const how = `${what} the process that it was forked from (${howItEnded(result)})`;
      for (const pid of this.#made.keys()) killGroup(pid, "SIGKILL");
      for (const fork of [...this.#asked.values(), ...this.#made.values()]) {
        fork.over({ exitCode: null, signal, how }, tail(log));
      }
    });
    // It is no reason for this process to go on; its forks are.
    child.unref();
    for (const stream of [this.#requests, child.stdio[3] as Socket | null]) stream?.unref();
    this.#idle();
  }

  fork({ name, argv, python, env, logDir, output }: ForkOptions): ForkedProcess {
    const log = openLog(logDir, name);
    closeSync(log.descriptor);
    const id = this.#count++;
    const fork = new Fork(name, log, () => this.#forget(id, fork.pid));
    this.#asked.set(id, fork);
    clearTimeout(this.#linger);
    this.#answers.ref();
    const all = { ...python.env, ...env };
    this.#send({ fork: id, argv, output: output ?? log.path, cwd: process.cwd(), env: all });
    return fork;
  }

  #hear(line: string): void {
    const told = answerIn(line);
    // What a library prints while it is imported.
    if (told === null) return;
    if ("forked" in told) {
      const fork = this.#asked.get(told.forked);
      if (fork === undefined) return killGroup(told.pid, "SIGKILL");
      this.#asked.delete(told.forked);
      this.#made.set(told.pid, fork);
      fork.made(told.pid);
      this.#send({ go: told.pid });
      return;
    }
    if ("refused" in told) this.#refuse(told.refused, told.why);
    else this.#bury(told.ended, told.status);
    if (this.#asked.size + this.#made.size === 0) this.#idle();
  }

  #refuse(id: number, why: string): void {
    const fork = this.#asked.get(id);
    this.#asked.delete(id);
    fork?.over({ exitCode: null, signal: null, how: `could not be started (${why})` });
  }

  #bury(pid: number, status: number): void {
    const fork = this.#made.get(pid);
    this.#made.delete(pid);
    const exitCode = status < 0 ? null : status;
    const signal = status < 0 ? (SIGNALS.get(-status) ?? `signal ${-status}`) : null;
    fork?.over({ exitCode, signal, how: howItEnded({ exitCode, signal }) });
  }

  /** Of a fork that is over. A server that has no other may be what hangs; it is not kept. */
  #forget(id: number, pid: number | undefined): void {
    this.#asked.delete(id);
    if (pid !== undefined) this.#made.delete(pid);
    if (this.#asked.size + this.#made.size > 0) return;
    this.#onEnd();
    this.#answers.unref();
    if (this.#pid !== undefined) killGroup(this.#pid, "SIGKILL");
  }

  #idle(): void {
    this.#answers.unref();
    // Also the end of a fork that was given up is told, perhaps after that of the last one.
    clearTimeout(this.#linger);
    this.#linger = setTimeout(() => {
      this.#onEnd(); // whoever comes now gets another
      this.#requests.end();
    }, LINGER_MS).unref();
  }

  #send(message: object): void {
    this.#requests.write(`${JSON.stringify(message)}\n`);
  }
}

/** Null for a line that is no answer. */
function answerIn(line: string): z.infer<typeof answer> | null {
  try {
    return answer.parse(JSON.parse(line));
  } catch {
    return null;
  }
}
