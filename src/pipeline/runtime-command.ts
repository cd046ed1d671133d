/** Calls of the runtime's short-lived commands: their errors become ours, their answers come as JSON. */
import { rm } from "node:fs/promises";
import { type ErrorCode, EXIT_STATUS, QuarryError } from "../errors.js";
import { makeOwnFolder } from "../pool/temporary-folder.js";
import type { PythonEnvironment } from "../python/environment.js";

/** What a call needs of its surroundings; a run's context has it. */
export interface CommandContext {
  python(): Promise<PythonEnvironment>;
  readonly signal: AbortSignal;
  /** Hears how far a command is that can say so. */
  readonly onProgress?: (progress: CommandProgress) => void;
  checkStop(): void;
}

/** Mirrors Told in py_runtime/quarry_runtime/measuring/told.py. */
export interface CommandProgress {
  /** e.g. "reading bm25.run, 1 of 3". */
  readonly what: string;
  readonly done: number;
  readonly total: number;
}

const PROGRESS = "PROGRESS ";

/**
 * Runs `python -m quarry_runtime <verb> …` and reads what it says on stdout.
 *
 * @param purpose what could not be done when it fails, e.g. "the measures could not be computed"
 * @param input what it reads on stdin
 * @throws QuarryError of the kind that the runtime told, with its message and hint.
 */
export async function runtimeAnswer<Answer>(
  context: CommandContext,
  verb: string,
  args: readonly string[],
  purpose: string,
  input?: string,
): Promise<Answer> {
  const python = await context.python();
  // Loaded late: whoever only looks at data starts no process.
  const { execa } = await import("execa");
  const result = await execa(python.executable, ["-m", "quarry_runtime", verb, ...args], {
    env: { ...python.env },
    extendEnv: false,
    cancelSignal: context.signal,
    reject: false,
    ...(context.onProgress === undefined ? {} : { stderr: heard(context.onProgress) }),
    // Values of each query of a big collection are longer than execa's limit.
    maxBuffer: Number.POSITIVE_INFINITY,
    ...(input === undefined ? {} : { input }),
  });
  context.checkStop();
  if (result.exitCode !== 0) throw toldBy(result, purpose);
  return JSON.parse(result.stdout) as Answer;
}

/** Takes lines of progress out of what a command says on stderr. */
function heard(onProgress: NonNullable<CommandContext["onProgress"]>) {
  return function* (line: unknown): Generator<string> {
    const text = String(line);
    if (text.startsWith(PROGRESS)) onProgress(JSON.parse(text.slice(PROGRESS.length)) as CommandProgress);
    else yield text;
  };
}

/** Gives a folder that is removed afterwards, whatever happens. */
export async function inTemporaryFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = makeOwnFolder();
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const TOLD = new RegExp(`^(${Object.keys(EXIT_STATUS).join("|")}): (.*(?:\\n {4}.*)*)(?:\\n {2}(\\S.*))?$`, "gm");

/** What a runtime's command failed with. It ends with `CODE: message` and an indented hint; before it stands whatever libraries said. */
export function toldBy(
  result: { readonly stderr: string; readonly exitCode?: number; readonly signal?: string },
  purpose: string,
): QuarryError {
  const [, code = "INTERNAL", told = "", hint] = [...result.stderr.matchAll(TOLD)].at(-1) ?? [];
  if (code !== "INTERNAL") {
    const message = told.replaceAll("\n    ", "\n");
    return new QuarryError(code as ErrorCode, message, { cause: result, ...(hint === undefined ? {} : { hint }) });
  }
  const last = result.stderr.trim().split("\n").at(-1) ?? "";
  return new QuarryError("INTERNAL", `${purpose}: ${result.signal ?? last}`, { cause: result });
}
