/** Brings this machine's devices to a run that goes on elsewhere. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { QuarryError } from "../errors.js";
import { pastedCommand } from "../pool/launch/manual.js";
import { findPython } from "../python/environment.js";

/** What `quarry join` is asked for. */
export interface JoinOptions {
  /** Path of a 0600 file, or "-" for the first line of stdin. */
  readonly ticket: string;
  /** host:port in place of the ticket's, e.g. behind NAT. */
  readonly address?: string;
  readonly workers?: string;
  readonly device?: string;
  readonly threads?: string;
  readonly name?: string;
  /** Asks the workers to leave: the first call lets the work in hand be finished, the second one ends them. */
  readonly onStop?: (stop: () => void) => void;
}

/**
 * The ticket of the run on this folder.
 *
 * @throws QuarryError ENVIRONMENT when there is none.
 */
export function ticketPathOf(runDir: string): string {
  const path = join(resolve(runDir), "join.ticket");
  if (!existsSync(path)) throw withoutTicket(runDir);
  return path;
}

/**
 * The command to paste on another machine, ticket included.
 *
 * @throws QuarryError ENVIRONMENT when nobody can join the run, or when it was killed.
 */
export async function joinCommandOf(runDir: string): Promise<string> {
  await refuseKilled(resolve(runDir));
  try {
    return pastedCommand((await readFile(ticketPathOf(runDir), "utf8")).trim());
  } catch (cause) {
    throw withoutTicket(runDir, cause);
  }
}

function withoutTicket(runDir: string, cause?: unknown): QuarryError {
  return new QuarryError("ENVIRONMENT", `${runDir} has no ticket: its run is not at work, or listens nowhere.`, {
    hint: "Set workers.listen, e.g. --workers.listen tcp://10.0.0.5:0, and start the run.",
    cause,
  });
}

/**
 * Joins a run and stays until it needs no more.
 *
 * @returns the exit status
 * @throws QuarryError CONFIG for an option that cannot be; ENVIRONMENT without Python, or when the ticket lies in the
 *   folder of a run that was killed; WORKER when what keeps the workers was killed.
 */
export async function joinRun(options: JoinOptions): Promise<number> {
  checkOptions(options);
  const isLine = options.ticket === "-";
  const ticket = isLine ? "-" : resolve(options.ticket);
  if (!isLine) await refuseKilled(dirname(ticket));
  const { execa } = await import("execa");
  const python = await findPython();
  const given = (["workers", "device", "threads", "name"] as const).flatMap((name) => {
    const value = options[name];
    return value === undefined ? [] : [`--${name}`, value];
  });
  const address = options.address === undefined ? [] : [options.address];
  const line = isLine ? await firstLine() : null;
  const child = execa(
    python.executable,
    ["-m", "quarry_runtime", "join", "--with-parent", "--ticket", ticket, ...given, ...address],
    {
      env: python.env,
      extendEnv: false,
      // Stays open: its end, like that of this process, ends the workers.
      stdin: "pipe",
      stdout: "inherit",
      stderr: "inherit",
      reject: false,
      buffer: false,
      // A session of its own: Ctrl-C reaches this process alone, which passes it on once.
      detached: true,
      cleanup: true,
    },
  );
  child.stdin.on("error", () => {}); // one that ends at once tells why on stderr
  if (line !== null) child.stdin.write(`${line}\n`);
  let isStopping = false;
  options.onStop?.(() => {
    isStopping = true;
    child.kill("SIGTERM");
  });
  const { exitCode, signal, originalMessage } = await child;
  if (exitCode === undefined && signal === undefined) {
    throw new QuarryError("ENVIRONMENT", `${python.executable} could not be started: ${originalMessage ?? ""}`);
  }
  if (exitCode === undefined && !isStopping) {
    throw new QuarryError("WORKER", `${python.executable}, which keeps the workers here, was killed by ${signal}.`, {
      hint: "See whether memory ran out, e.g. with dmesg, and join again. The run gives their work to others meanwhile.",
      isRetryable: true,
    });
  }
  return exitCode ?? 143;
}

/** Loaded when it is called: it brings a socket along. */
async function refuseKilled(runDir: string): Promise<void> {
  const control = await import("../pool/control.js");
  return control.refuseKilled(runDir);
}

/** The same as the runtime's join.py takes. */
const EXPECTED = {
  workers: [/^(auto|[1-9]\d{0,3})$/, "auto or a whole number from 1 to 9999"],
  device: [/^(auto|cpu|cuda)$/, "auto, cpu or cuda"],
  threads: [/^(auto|[1-9]\d{0,3})$/, "auto or a whole number from 1 to 9999"],
  name: [/^(?!-)[\p{L}\p{N}_.-]{1,200}$/u, "letters, digits, dots, _ and - only, and no - in front"],
} as const;

function checkOptions(options: JoinOptions): void {
  for (const [name, [pattern, expected]] of Object.entries(EXPECTED)) {
    const value = options[name as keyof typeof EXPECTED];
    if (value === undefined || pattern.test(value)) continue;
    throw new QuarryError("CONFIG", `--${name}: expected ${expected}, saw ${value}`, { hint: "quarry join --help" });
  }
}

async function firstLine(): Promise<string> {
  const { createInterface } = await import("node:readline");
  if (process.stdin.isTTY) process.stderr.write("Paste the ticket and press Enter.\n");
  const lines = createInterface({ input: process.stdin });
  for await (const line of lines) {
    lines.close();
    process.stdin.destroy();
    return line;
  }
  return "";
}
