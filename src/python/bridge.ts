/** Calls into Python through pythonia, with a time limit and an exit watch; for what is small, never for data. */
import type { ChildProcess } from "node:child_process";
import { createRequire } from "node:module";
import { z } from "zod";
import { type ErrorCode, EXIT_STATUS, QuarryError } from "../errors.js";
import type { PythonEnvironment } from "./environment.js";
import { START_HINT } from "./no-start.js";

/** Surroundings of a call. */
export interface CallOptions {
  /** The interpreter to ask; default: the one that workers run in. */
  readonly python?: PythonEnvironment;
  /** Python is ended and a WORKER error raised after this time; default 120,000: torch from a cold disk is slow. */
  readonly timeoutMs?: number;
}

/** pythonia's own timer outlives a dead Python and would keep Node from ending for 100 s, so it is never set. */
const unlimited = { $timeout: Number.POSITIVE_INFINITY };

/** The part of pythonia that is used; a `$` behind a name passes options. */
interface Pythonia {
  readonly builtins: { python$(module: string, options: typeof unlimited): Promise<Bridge> };
  readonly python: { exit(): void };
  readonly com: { proc: ChildProcess | null; start(): void };
}

/** quarry_runtime/bridge.py. */
interface Bridge {
  tie_to_node$(options: typeof unlimited): Promise<number>;
  call$(module: string, name: string, args: string, options: typeof unlimited): Promise<string>;
}

const answer = z.union([
  z.object({
    error: z.object({
      code: z.enum(Object.keys(EXIT_STATUS) as [ErrorCode, ...ErrorCode[]]),
      message: z.string(),
      hint: z.string().nullable(),
      isRetryable: z.boolean(),
    }),
  }),
  z.object({ value: z.unknown() }),
]);

let turn: Promise<unknown> = Promise.resolve();

/**
 * Calls a function of the Python runtime in a Python process of its own, which is gone afterwards. Calls take turns:
 * pythonia knows one process.
 *
 * @param module full name of a Python module
 * @param name a function in it; takes and gives JSON values
 * @throws whatever kind Python raised; ENVIRONMENT for a Python that cannot be used; WORKER when Python dies or does not
 *   answer in time
 * @example
 * await callPython("quarry_runtime.inspect", "registered", [], { timeoutMs: 10_000 });
 */
export function callPython(
  module: string,
  name: string,
  args: readonly unknown[],
  options: CallOptions = {},
): Promise<unknown> {
  const mine = turn.then(async () => {
    // Loaded late: a script that never calls Python need not wait for what starts processes.
    const python = options.python ?? (await (await import("./environment.js")).findPython());
    return converse(python, `${module}.${name}`, options.timeoutMs ?? 120_000, async (pythonia, onLoaded) => {
      const bridge = await pythonia.builtins.python$("quarry_runtime.bridge", unlimited);
      await bridge.tie_to_node$(unlimited);
      onLoaded();
      return bridge.call$(module, name, JSON.stringify(args), unlimited);
    });
  });
  turn = mine.catch(() => null);
  return mine;
}

async function converse(
  python: PythonEnvironment,
  what: string,
  timeoutMs: number,
  ask: (pythonia: Pythonia, onLoaded: () => void) => Promise<string>,
): Promise<unknown> {
  const { pythonia, child } = start(python);
  const watched = watch(child, python.executable, what);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const message = `Python did not answer within ${timeoutMs} ms (${what}); it was ended`;
      reject(new QuarryError("WORKER", message, { isRetryable: true, hint: "Try again, or allow more time." }));
    }, timeoutMs);
  });
  try {
    return read(await Promise.race([ask(pythonia, watched.onLoaded), watched.death, late]), what);
  } catch (cause) {
    if (cause instanceof QuarryError) throw cause;
    throw new QuarryError("ENVIRONMENT", `${python.executable} cannot load the Quarry runtime`, {
      cause,
      hint: "quarry setup",
    });
  } finally {
    clearTimeout(timer);
    // SIGTERM, which pythonia sends, would wait for ever in a stopped process.
    child.kill("SIGKILL");
    pythonia.python.exit();
    await watched.end;
  }
}

/** Starts Python; pythonia takes interpreter and environment from this process's own variables, at this moment only. */
function start(python: PythonEnvironment): { pythonia: Pythonia; child: ChildProcess } {
  const before = { ...process.env };
  try {
    for (const name of Object.keys(process.env)) if (!(name in python.env)) delete process.env[name];
    Object.assign(process.env, python.env, { PYTHON_BIN: python.executable });
    // A script is started, whose own folder, with pythonia's modules, stands in the working folder's place.
    delete process.env["PYTHONSAFEPATH"];
    // The first require starts a process by itself; an import would give it time to fail before anyone listens.
    const pythonia = createRequire(import.meta.url)("pythonia") as Pythonia;
    if (pythonia.com.proc === null) pythonia.com.start();
    const child = pythonia.com.proc;
    if (child === null) throw new QuarryError("ENVIRONMENT", `${python.executable} cannot be started`);
    return { pythonia, child };
  } finally {
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
    Object.assign(process.env, before);
  }
}

interface Watched {
  /** Rejects when Python ends, so that no call stays pending. */
  readonly death: Promise<never>;
  /** Resolves once nothing is left of the process. */
  readonly end: Promise<void>;
  /** Before this, an end means that the environment is broken. */
  onLoaded(): void;
}

function watch(child: ChildProcess, executable: string, what: string): Watched {
  let isLoaded = false;
  let settle = (): void => {};
  const end = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const death = new Promise<never>((_, reject) => {
    child.on("error", (cause: NodeJS.ErrnoException) => {
      // An error of the channel comes before the exit that explains it.
      if (child.pid !== undefined) return;
      const message = `${executable} cannot be started (${cause.code ?? cause.message})`;
      reject(new QuarryError("ENVIRONMENT", message, { cause, hint: "quarry setup" }));
      settle();
    });
    child.on("exit", (code, signal) => {
      const how = signal === null ? `with exit code ${code}` : `killed by ${signal}`;
      reject(
        isLoaded
          ? new QuarryError("WORKER", `Python ended (${how}) before it answered (${what})`, {
              isRetryable: true,
              hint: "Try again; if it ends each time, the checkpoint or a plugin brings Python down.",
            })
          : new QuarryError("ENVIRONMENT", `${executable} ended (${how}) before the Quarry runtime was loaded`, {
              // What Python itself said stands above it.
              hint: START_HINT,
            }),
      );
      settle();
    });
  });
  // Once the answer is there nobody waits for the end any more.
  death.catch(() => null);
  return { death, end, onLoaded: () => (isLoaded = true) };
}

function read(text: string, what: string): unknown {
  const parsed = answer.safeParse(jsonOf(text));
  if (!parsed.success) {
    throw new QuarryError("INTERNAL", `Python answered something else (${what})`, { cause: parsed.error });
  }
  if (!("error" in parsed.data)) return parsed.data.value;
  const { code, message, hint, isRetryable } = parsed.data.error;
  throw new QuarryError(code, message, { isRetryable, ...(hint === null ? {} : { hint }) });
}

/** Undefined, which is no answer, for what is no JSON. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
