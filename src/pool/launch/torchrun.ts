/** Starts torchrun for one training launch, keeps its life line, and sorts what it prints into one log a rank. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { PythonEnvironment } from "../../python/environment.js";
import { startAgent } from "./agent.js";
import type { Ending } from "./local.js";
import { RankLogs } from "./rank-logs.js";

/** What a launch needs. */
export interface TorchrunOptions {
  readonly python: PythonEnvironment;
  /** File with the orchestrator's address; only its path travels to the ranks. */
  readonly ticketPath: string;
  readonly ranks: number;
  /** How often torchrun itself starts the ranks again. */
  readonly maxRestarts: number;
  /** rank-0.log …, torchrun.log, and torchrun's own files in torchrun/. */
  readonly logDir: string;
  readonly threads: number;
  /** What ranks compute on: "cpu" hides the GPUs of this machine from them. */
  readonly device?: "auto" | "cpu" | undefined;
  /** Ends a launch that is still on its way. */
  readonly signal?: AbortSignal;
  /** Further arguments of `quarry_runtime launch`: where it meets the agents of other machines. */
  readonly meeting?: readonly string[];
  /** Told when torchrun sees a rank end badly, before it starts the ranks again. */
  readonly onRankDeath?: (death: RankDeath) => void;
}

/** How a rank ended, as torchrun saw it. */
export interface RankDeath {
  readonly rank: number;
  readonly pid: number;
  /** Exit status, or minus the signal's number. */
  readonly exitCode: number;
}

/** How torchrun ended; of the last lines those of torchrun itself, without the ranks'. */
export type TorchrunExit = Ending;

/** A running torchrun. */
export interface TorchrunProcess {
  /** Of the agent, which leads a process group; undefined when it could not be started. */
  readonly pid: number | undefined;
  /** Resolves when the process has ended and its logs are written; never rejects. */
  readonly exited: Promise<TorchrunExit>;
  /** Last lines that a rank printed. */
  lastLinesOf(rank: number): readonly string[];
  /** SIGKILL for it and what it keeps, which is all of its process group; the ranks follow, for each has PR_SET_PDEATHSIG set. */
  kill(): void;
}

/** Starts torchrun; call it from the main thread, because PR_SET_PDEATHSIG follows the thread that spawned. */
export async function startTorchrun(options: TorchrunOptions): Promise<TorchrunProcess> {
  const ownLogs = join(options.logDir, "torchrun");
  await mkdir(ownLogs, { recursive: true });
  const agent = await startAgent(options, [
    ...["launch", "--ticket", options.ticketPath],
    ...["--ranks", String(options.ranks), "--max-restarts", String(options.maxRestarts)],
    ...["--log-dir", ownLogs, "--threads", String(options.threads)],
    ...["--device", options.device ?? "auto", ...(options.meeting ?? [])],
  ]);
  const logs = new RankLogs(options.logDir);
  const readers = agent.output.map((stream) => {
    const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
    lines.on("line", (line) => {
      const { rank, text } = parseLine(line);
      logs.add(rank, text);
      const death = rank === null ? parseDeath(text) : null;
      if (death !== null) options.onRankDeath?.(death);
    });
    return new Promise<void>((resolve) => lines.once("close", resolve));
  });
  const exited = (async (): Promise<TorchrunExit> => {
    const { lastLines, ...ending } = await agent.ended;
    await Promise.all(readers);
    await logs.close();
    return { ...ending, lastLines: [...logs.lastLines(null), ...lastLines] };
  })();
  return {
    pid: agent.pid,
    exited,
    lastLinesOf: (rank) => logs.lastLines(rank),
    kill: () => {
      agent.kill();
      try {
        if (agent.pid !== undefined) process.kill(-agent.pid, "SIGKILL");
      } catch {
        // Nothing of its group is left.
      }
    },
  };
}

/** Splits torchrun's `[default0]:text` into the rank and what it printed; null for torchrun's own lines. */
export function parseLine(line: string): { readonly rank: number | null; readonly text: string } {
  const found = /^\[default(\d+)\]:(.*)$/.exec(line);
  return found === null ? { rank: null, text: line } : { rank: Number(found[1]), text: found[2] ?? "" };
}

/** Reads the line in which torchrun reports a rank that ended badly. */
export function parseDeath(text: string): RankDeath | null {
  const found = /failed \(exitcode: (-?\d+)\) local_rank: (\d+) \(pid: (\d+)\)/.exec(text);
  return found === null ? null : { exitCode: Number(found[1]), rank: Number(found[2]), pid: Number(found[3]) };
}
