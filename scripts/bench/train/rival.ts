/** One training at work, whoever runs it: started, held at its gate, let go for some steps at a time. */
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { execa } from "execa";

/** How a training is started. */
export interface RivalOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment; QUARRY_BENCH_GATE is added. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where its socket goes. */
  readonly folder: string;
  /** Takes each line of its standard output. */
  readonly onLine?: (line: string) => void;
}

/** The first loss of a training. */
export interface First {
  readonly loss: number;
  /** From the start of the process until the loss was there. */
  readonly seconds: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** Steps that were done between two waits at the gate. */
export interface Lap {
  readonly seconds: readonly number[];
  readonly losses: readonly number[];
}

export interface Rival {
  readonly name: string;
  readonly pid: number;
  readonly first: Promise<First>;
  /** Lets it do some steps and waits for them. */
  go(steps: number): Promise<Lap>;
  /** Lets it run to its end and waits for that. */
  finish(): Promise<void>;
  /** Ends it at once; nothing that it started is left. */
  kill(): Promise<void>;
}

let sockets = 0;

/**
 * Starts a training whose loss stands at a gate (gate.py).
 *
 * @throws Error from `first` and `go` when it ends before its answer, with the end of what it said.
 */
export async function startRival(options: RivalOptions): Promise<Rival> {
  const { name, command, args, env, folder, onLine } = options;
  // Paths of sockets are short: 108 bytes.
  const path = join(folder, `gate-${(sockets += 1)}`);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const began = Date.now();
  const child = execa(command, args, {
    env: { ...env, QUARRY_BENCH_GATE: path },
    extendEnv: false,
    buffer: { stdout: false },
    stdin: "pipe",
    reject: false,
    // A group of its own, so that all of it can be ended.
    detached: true,
  });
  const printed = createInterface({ input: child.stdout });
  printed.on("line", (line) => onLine?.(line));
  const ended = child.then(({ stderr, exitCode, signal }) => {
    const how = signal ?? `status ${exitCode}`;
    return { isGood: exitCode === 0, text: `${name} ended with ${how}.\n${stderr.slice(-4_000)}` };
  });
  const killAll = (): void => killGroup(child.pid);
  process.once("exit", killAll);
  const answers = connect(server);
  const answer = async (): Promise<Record<string, unknown>> => {
    const line = await Promise.race([answers.then(({ lines }) => lines.next()), ended]);
    if ("text" in line) throw new Error(line.text);
    if (line.done === true) throw new Error((await ended).text);
    return JSON.parse(line.value) as Record<string, unknown>;
  };
  const tell = async (steps: number): Promise<void> =>
    void (await answers).socket.write(`${JSON.stringify({ steps })}\n`);
  const close = async (): Promise<void> => {
    process.off("exit", killAll);
    server.close();
    (await Promise.race([answers, Promise.resolve(null)]))?.socket.destroy();
  };
  const first = answer().then((told) => ({
    loss: Number(told.loss),
    at: Number(told.at),
    seconds: (Number(told.at) - began) / 1_000,
  }));
  return {
    name,
    pid: child.pid ?? 0,
    first,
    go: async (steps) => {
      await first;
      await tell(steps);
      return (await answer()) as unknown as Lap;
    },
    finish: async () => {
      await first;
      await tell(-1);
      const { isGood, text } = await ended;
      await close();
      if (!isGood) throw new Error(text);
    },
    kill: async () => {
      killAll();
      await ended;
      await close();
    },
  };
}

interface Connected {
  readonly socket: Socket;
  readonly lines: AsyncIterator<string>;
}

function connect(server: Server): Promise<Connected> {
  return new Promise((resolve) => {
    server.once("connection", (socket) => {
      // A rival that was killed resets it.
      socket.on("error", () => undefined);
      const lines: Interface = createInterface({ input: socket });
      resolve({ socket, lines: lines[Symbol.asyncIterator]() });
    });
  });
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // Gone already.
  }
}
