/** Calls of the runtime's short-lived commands: their errors become ours, their answers come as JSON. */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type ErrorCode, EXIT_STATUS, QuarryError } from "../errors.js";
import { makeTemporaryFolder } from "../pool/temporary-folder.js";
import type { PythonEnvironment } from "../python/environment.js";

/** What a call needs of its surroundings; a run's context has it. */
export interface CommandContext {
  python(): Promise<PythonEnvironment>;
  readonly signal: AbortSignal;
  checkStop(): void;
}

/**
 * Runs `python -m quarry_runtime <verb> … --out <file>` and reads what it wrote.
 *
 * @param out where the answer is kept; left out: in a temporary folder that is gone afterwards
 * @param purpose what could not be done when it fails, e.g. "the measures could not be computed"
 * @throws QuarryError of the kind that the runtime told, with its message and hint.
 */
export async function runtimeCommand<Answer>(
  context: CommandContext,
  verb: string,
  args: readonly string[],
  purpose: string,
  out?: string,
): Promise<Answer> {
  if (out === undefined) {
    return inTemporaryFolder((folder) => runtimeCommand(context, verb, args, purpose, join(folder, "answer.json")));
  }
  await runtimeOutput(context, verb, [...args, "--out", out], purpose);
  return JSON.parse(await readFile(out, "utf8")) as Answer;
}

/**
 * Runs `python -m quarry_runtime <verb> …` and waits.
 *
 * @returns what it wrote on stdout
 * @throws QuarryError of the kind that the runtime told, with its message and hint.
 */
export async function runtimeOutput(
  context: CommandContext,
  verb: string,
  args: readonly string[],
  purpose: string,
): Promise<string> {
  const result = await callRuntime(context, [verb, ...args]);
  if (result.exitCode !== 0) throw toldBy(result, purpose);
  return result.stdout;
}

/**
 * As runtimeOutput, for what fails only where something is wrong with the machine.
 *
 * @param input what the command reads on stdin
 * @throws QuarryError ENVIRONMENT with the last words of Python.
 */
export async function environmentOutput(
  context: CommandContext,
  args: readonly string[],
  purpose: string,
  input?: string,
): Promise<string> {
  const result = await callRuntime(context, args, input);
  if (result.exitCode === 0) return result.stdout;
  throw new QuarryError("ENVIRONMENT", purpose, {
    cause: result,
    hint: `Look at what Python said: ${result.stderr.trim().split("\n").slice(-2).join(" ")}`,
  });
}

async function callRuntime(context: CommandContext, args: readonly string[], input?: string) {
  const python = await context.python();
  // Loaded late: whoever only looks at data starts no process.
  const { execa } = await import("execa");
  const result = await execa(python.executable, ["-m", "quarry_runtime", ...args], {
    env: { ...python.env },
    extendEnv: false,
    cancelSignal: context.signal,
    reject: false,
    ...(input === undefined ? {} : { input }),
  });
  context.checkStop();
  return result;
}

/** Gives a folder that is removed afterwards, whatever happens. */
export async function inTemporaryFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = makeTemporaryFolder("quarry-");
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The runtime ends with `CODE: message` and an indented hint. */
function toldBy(
  result: { readonly stderr: string; readonly exitCode?: number; readonly signal?: string },
  purpose: string,
) {
  const told = /^([A-Z]+): (.*)(?:\n {2}(\S.*))?$/m.exec(result.stderr);
  const code = told?.[1] ?? "";
  const isOurs = Object.hasOwn(EXIT_STATUS, code) && code !== "INTERNAL";
  if (isOurs && told?.[2] !== undefined) {
    return new QuarryError(code as ErrorCode, told[2], { cause: result, ...(told[3] ? { hint: told[3] } : {}) });
  }
  const last = result.stderr.trim().split("\n").at(-1) ?? "";
  return new QuarryError("INTERNAL", `${purpose}: ${result.signal ?? last}`, { cause: result });
}
