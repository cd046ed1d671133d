/** One call of the Python half: its findings come as lines of a file, so those before a death are kept. */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { z } from "zod";
import { QuarryError, stopIfAborted } from "../../errors.js";
import type { PythonEnvironment } from "../../python/environment.js";
import { type CheckStatus, check, type DoctorCheck } from "./types.js";
import type { Work } from "./work.js";

/** Mirrors Finding in py_runtime/quarry_runtime/doctor/findings.py. */
const finding = z.strictObject({
  check: z.string(),
  status: z.enum(["ok", "note", "refuse"] satisfies CheckStatus[]),
  seen: z.string(),
  todo: z.string().nullable(),
  facts: z.record(z.string(), z.unknown()),
});
const line = z.union([z.strictObject({ section: z.string() }), finding]);
export type Finding = z.output<typeof finding>;

/** Where a call works. */
export interface CallPlace {
  readonly folder: string;
  readonly python: PythonEnvironment;
  readonly threads: number;
  readonly signal: AbortSignal;
  readonly onLog?: ((text: string) => void) | undefined;
}

/** What a call found, and whether it was killed. */
export interface Called {
  readonly findings: readonly Finding[];
  /** The section at which the process was killed by the system; null when it ended by itself. */
  readonly killedAt: string | null;
}

/**
 * Calls the Python half.
 *
 * @throws QuarryError INTERNAL when it ends in a way that says nothing of the experiment.
 */
export async function callDoctor(work: Work, { folder, python, threads, signal, onLog }: CallPlace): Promise<Called> {
  const answers = join(folder, "answers.jsonl");
  await rm(answers, { force: true });
  await writeFile(join(folder, "task.json"), JSON.stringify(work));
  const result = await execa(python.executable, ["-m", "quarry_runtime", "doctor", "--folder", folder], {
    env: { ...python.env, ...deviceEnvironment(work.device, python), OMP_NUM_THREADS: String(threads) },
    extendEnv: false,
    cancelSignal: signal,
    stdin: "ignore",
    reject: false,
  });
  onLog?.(result.stderr);
  stopIfAborted(signal);
  const text = await readFile(answers, "utf8").catch(() => "");
  const findings: Finding[] = [];
  let section = "start";
  for (const each of text.split("\n").filter((found) => found !== "")) {
    const parsed = line.parse(JSON.parse(each));
    if ("section" in parsed) section = parsed.section;
    else findings.push(parsed);
  }
  // Nothing but the system's answer to too little memory kills without a word.
  const killedAt = result.signal === "SIGKILL" ? section : null;
  if (result.failed && killedAt === null) {
    const last = result.stderr.trim().split("\n").at(-1) ?? "";
    throw new QuarryError("INTERNAL", `the doctor's Python half failed: ${result.signal ?? last}`, { cause: result });
  }
  return { findings, killedAt };
}

/** A GPU of its own, or none: more than one would make transformers split batches over them. */
function deviceEnvironment(device: string, { env }: PythonEnvironment): Record<string, string> {
  if (device === "cpu") return { CUDA_VISIBLE_DEVICES: "" };
  return { CUDA_VISIBLE_DEVICES: env.CUDA_VISIBLE_DEVICES?.split(",")[0] ?? "0" };
}

/** Findings as lines of the report. */
export function toChecks(findings: readonly Finding[], group: DoctorCheck["group"]): DoctorCheck[] {
  return findings.map(({ check: name, status, seen, todo, facts }) => check(group, name, status, seen, todo, facts));
}
