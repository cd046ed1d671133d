/** `quarry workers` and `quarry drain`: look at the workers of a run that is going on, and take one out. */
import { relative } from "node:path";
import { Command } from "commander";
import type { Drained, WorkerLine } from "../index.js";
import { formatCount } from "../report/format.js";
import { alignedLines } from "../report/text-width.js";
import { print } from "./print.js";

interface Flags {
  readonly run?: string;
  readonly json?: boolean;
  readonly wait?: boolean;
}

const WORDS: Record<Drained, (worker: string) => string> = {
  leaving: (worker) => `${worker} will leave.`,
  left: (worker) => `${worker} has left.`,
  ended: (worker) => `${worker} is gone: the run's workers have ended.`,
};

/** Makes `quarry workers`. */
export function workersCommand(): Command {
  return withRun(new Command("workers"))
    .description("List the workers of a run that is going on.")
    .option("--json", "write JSON")
    .action(async (flags: Flags) => {
      const { listWorkers } = await import("../index.js");
      print(flags.json, await listWorkers(await runOf(flags)), tableOf);
    });
}

/** Makes `quarry drain`. */
export function drainCommand(): Command {
  return withRun(new Command("drain"))
    .description("Let a worker finish what it has in hand and leave.")
    .argument("<worker>", "its name, as quarry workers shows it")
    .option("--no-wait", "return at once instead of when it is gone")
    .action(async (worker: string, flags: Flags) => {
      const { drainWorker } = await import("../index.js");
      const drained = await drainWorker(await runOf(flags), worker, { isWaiting: flags.wait !== false });
      process.stdout.write(`${WORDS[drained](worker)}\n`);
    });
}

function withRun(command: Command): Command {
  return command
    .option("--run <folder>", "the run's folder (default: the one under runs/ that is at work)")
    .option("--debug", "show the trace of an error");
}

async function runOf({ run }: Flags): Promise<string> {
  const { findRunAtWork } = await import("../index.js");
  return run ?? relative(process.cwd(), await findRunAtWork());
}

function tableOf(workers: readonly WorkerLine[]): string {
  if (workers.length === 0) return "No worker is here; the run waits until one joins.";
  const headings = ["worker", "host", "device", "state", "texts"];
  const rows = workers.map(({ name, host, device, state, doneRows }) => [
    ...[name, host, device, state],
    formatCount(doneRows),
  ]);
  return alignedLines([headings, ...rows], (column) => headings[column] === "texts").join("\n");
}
