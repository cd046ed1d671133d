/** Starts torchrun's agent with its output at hand: a fork where forks are used, else an interpreter of its own. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { execa } from "execa";
import { threadEnvironment } from "../resources.js";
import { canFork, launchFork } from "./fork-server.js";
import { type Ending, howItEnded } from "./local.js";
import { reapOnExit } from "./reaper.js";
import type { TorchrunOptions } from "./torchrun.js";

/** A running agent, leader of a session: Ctrl-C in a terminal would end the ranks before they can save. */
export interface Agent {
  readonly pid: number | undefined;
  /** What it and the ranks print. */
  readonly output: readonly Readable[];
  readonly ended: Promise<Ending>;
  kill(): void;
}

let count = 0;

/** Starts `python -m quarry_runtime` with arguments; call it from the main thread. */
export function startAgent(options: TorchrunOptions, argv: readonly string[]): Promise<Agent> {
  return canFork ? fork(options, argv) : spawn(options, argv);
}

async function fork(options: TorchrunOptions, argv: readonly string[]): Promise<Agent> {
  const { python, threads, logDir, ticketPath, signal } = options;
  // In the ticket's folder, which is this user's alone.
  const output = join(dirname(ticketPath), `agent-${count++}.sock`);
  const server = createServer({ pauseOnConnect: true });
  server.listen(output);
  await once(server, "listening");
  const connected = once(server, "connection") as Promise<[Socket]>;
  const env = threadEnvironment(threads);
  const agent = launchFork({ name: "torchrun", argv, python, env, logDir, output });
  const kill = (): void => agent.signal("SIGKILL");
  signal?.addEventListener("abort", kill);
  if (signal?.aborted) kill();
  const reached = await Promise.race([connected, agent.ended]);
  signal?.removeEventListener("abort", kill);
  server.close();
  await agent.started;
  const streams = Array.isArray(reached) ? [reached[0]] : [];
  return { pid: agent.pid, output: streams, ended: agent.ended, kill };
}

async function spawn({ python }: TorchrunOptions, argv: readonly string[]): Promise<Agent> {
  const child = execa(python.executable, ["-m", "quarry_runtime", ...argv], {
    env: python.env,
    extendEnv: false,
    // Never written to: its end tells the ranks that the orchestrator is gone.
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    buffer: false,
    reject: false,
    detached: true,
  });
  const forget = child.pid === undefined ? () => {} : reapOnExit(child.pid);
  const ended = child.then((result) => {
    forget();
    const { exitCode = null, signal = null } = result;
    return { exitCode, signal, how: howItEnded(result), lastLines: [] };
  });
  return { pid: child.pid, output: [child.stdout, child.stderr], ended, kill: () => void child.kill("SIGKILL") };
}
