/** `quarry join`: adds this machine's GPUs, or its processor, to a run that goes on elsewhere. */
import { statSync } from "node:fs";
import { relative } from "node:path";
import { Command } from "commander";
import { QuarryError } from "../errors.js";
import { EXIT_STATUS_OF, type StopSignal, watchSignals } from "./signals.js";

interface Flags {
  readonly ticket?: string;
  readonly run?: string;
  readonly print?: boolean;
  readonly workers?: string;
  readonly device?: string;
  readonly threads?: string;
  readonly name?: string;
}

/** Makes the command; `setStatus` takes the exit status. */
export function joinCommand(setStatus: (status: number) => void): Command {
  return new Command("join")
    .description("Add this machine's devices to a run.")
    .argument("[where]", "folder of a run on this machine, or host:port in place of the ticket's")
    .option("--ticket <file>", "join.ticket of the run, or - to read its line from stdin")
    .option("--run <folder>", "the run's folder, when it is on this machine")
    .option("--print", "only show the command to paste on another machine; it holds the ticket")
    .option("--workers <count>", "worker processes (default: one per GPU, else one)")
    .option("--device <kind>", "auto, cpu or cuda (default: auto)")
    .option("--threads <count>", "CPU threads of each worker (default: the cores shared equally)")
    .option("--name <host>", "names this machine (default: its host name)")
    .option("--debug", "show the trace of an error")
    .action(async (where: string | undefined, flags: Flags) => setStatus(await join(where, flags)));
}

async function join(where: string | undefined, flags: Flags): Promise<number> {
  const { joinCommandOf, joinRun, ticketPathOf } = await import("../index.js");
  const found = where === undefined ? undefined : statSync(where, { throwIfNoEntry: false });
  const isFolder = found?.isDirectory() === true;
  if (where !== undefined && !isFolder && !ADDRESS.test(where)) throw neither(where, found !== undefined);
  const runDir = flags.run ?? (isFolder ? where : undefined);
  if (flags.print === true) {
    process.stdout.write(await joinCommandOf(await (runDir ?? runAtWork())));
    return 0;
  }
  const ticket = flags.ticket ?? ticketPathOf(await (runDir ?? runAtWork(where)));
  const { workers, device, threads, name } = flags;
  const chosen = Object.entries({ workers, device, threads, name }).filter(([, value]) => value !== undefined);
  const stopping: { stop: () => void; by: StopSignal | null } = { stop: () => {}, by: null };
  const signals = watchSignals((signal) => {
    stopping.by = signal;
    stopping.stop();
  });
  try {
    const status = await joinRun({
      ticket,
      ...(where === undefined || isFolder ? {} : { address: where }),
      ...Object.fromEntries(chosen),
      onStop: (stop) => {
        stopping.stop = stop;
        if (stopping.by !== null) stop();
      },
    });
    return stopping.by === null ? status : EXIT_STATUS_OF[stopping.by];
  } finally {
    signals.close();
  }
}

/** Of an address, all that tells it from a path; the runtime looks at the rest. */
const ADDRESS = /^[^-].*:\d+$/;

function neither(where: string, isFile: boolean): QuarryError {
  if (isFile) {
    const hint = `If it is the ticket of a run: quarry join --ticket ${where}`;
    return new QuarryError("CONFIG", `${where} is a file, not the folder of a run.`, { hint });
  }
  const hint = "Name a folder such as runs/<name>, or host:port and --ticket <file>.";
  return new QuarryError("CONFIG", `There is no run folder ${where}.`, { hint });
}

async function runAtWork(address?: string): Promise<string> {
  // Somewhere else, an address without a ticket opens nothing.
  if (address !== undefined) {
    throw new QuarryError("CONFIG", `${address} is an address, which needs the run's ticket.`, {
      hint: "quarry join --ticket <file>, or --ticket - to paste it; --print on the run's machine shows it.",
    });
  }
  const { findRunAtWork } = await import("../index.js");
  return relative(process.cwd(), await findRunAtWork());
}
