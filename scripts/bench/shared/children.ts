/** Processes that are measured: events as JSON lines on their standard output, private memory from /proc. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

const SAMPLE_MS = 100;

/** A line of a child's standard output. */
export interface ChildEvent {
  readonly event: string;
  /** Milliseconds since the child was asked for, its start included. */
  readonly afterMs: number;
  readonly [name: string]: unknown;
}

/** A child that is measured. */
export interface Measured {
  readonly pid: number;
  /**
   * The next event of a kind.
   *
   * @throws Error when the child ends first, with the end of what it said.
   */
  event(kind: string): Promise<ChildEvent>;
  /** Most private memory up to now, its descendants' included, sampled every 100 ms; sampling ends with this call. */
  peakBytes(): number;
  /** Ends the child's standard input; what serves until then comes to its end. */
  endInput(): void;
  /**
   * Waits for the child's end.
   *
   * @throws Error when it failed.
   */
  finish(): Promise<void>;
}

/** Private memory of a process that no file stands behind; 0 once it is gone. */
export function anonymousBytes(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
    return Number(/^Pss_Anon:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** A process and all that it started, as far as they still live. */
export function withDescendants(pid: number): number[] {
  const all = [pid];
  try {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const children = readFileSync(`/proc/${pid}/task/${task}/children`, "latin1").split(" ");
      for (const child of children) if (child !== "") all.push(...withDescendants(Number(child)));
    }
  } catch {
    // Gone in between.
  }
  return all;
}

/** Starts a process; `env` replaces the environment where it is given. */
export function start(command: string, args: readonly string[], env?: Record<string, string>): Measured {
  const began = performance.now();
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(command, args, {
    stdio: ["pipe", "pipe", "pipe"],
    ...(env === undefined ? {} : { env }),
  });
  const pid = child.pid;
  if (pid === undefined) throw new Error(`${command} cannot be started.`);
  let said = "";
  child.stderr.on("data", (bytes: Buffer) => {
    said = (said + bytes.toString()).slice(-4_000);
  });
  const ended = new Promise<string>((resolve) => {
    child.once("close", (code, signal) => resolve(code === 0 ? "" : `it ended with ${signal ?? `status ${code}`}`));
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let peak = 0;
  const sample = (): void => {
    peak = Math.max(
      peak,
      withDescendants(pid).reduce((sum, each) => sum + anonymousBytes(each), 0),
    );
  };
  const sampling = setInterval(sample, SAMPLE_MS);
  const failure = (what: string): Error => new Error(`${command} ${args.join(" ")}: ${what}\n${said}`);

  return {
    pid,
    event: async (kind) => {
      for (;;) {
        const line = await lines.next();
        if (line.done === true) throw failure((await ended) || `it ended without "${kind}"`);
        const afterMs = performance.now() - began;
        if (!line.value.startsWith("{")) continue;
        const event = JSON.parse(line.value) as ChildEvent;
        if (event.event === kind) return { ...event, afterMs };
      }
    },
    peakBytes: () => {
      sample();
      clearInterval(sampling);
      return peak;
    },
    endInput: () => void child.stdin.end(),
    finish: async () => {
      const fault = await ended;
      clearInterval(sampling);
      if (fault !== "") throw failure(fault);
    },
  };
}
