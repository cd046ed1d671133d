/** One call of the Python half: its findings come as lines of a file, so those before a death are kept. */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { QuarryError, stopIfAborted } from "../../errors.js";
import { type Gpu, withGpus } from "../../pool/gpus.js";
import { canFork, launchFork } from "../../pool/launch/fork-server.js";
import { type Ending, launchLocal } from "../../pool/launch/local.js";
import { threadEnvironment } from "../../pool/resources.js";
import type { PythonEnvironment } from "../../python/environment.js";
import type { CheckStatus, DoctorCheck } from "./types.js";
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
  /** What it computes on; null for the CPU. */
  readonly gpu: Gpu | null;
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
export async function callDoctor(work: Work, place: CallPlace): Promise<Called> {
  const { folder, gpu, threads, signal, onLog } = place;
  // Of a GPU of its own, or of none: more than one would make transformers split batches over them.
  const python = withGpus(place.python, gpu === null ? [] : [gpu.id]);
  const device = gpu === null ? "cpu" : "cuda:0";
  const answers = join(folder, "answers.jsonl");
  await rm(answers, { force: true });
  await writeFile(join(folder, "task.json"), JSON.stringify({ ...work, device }));
  const log = join(folder, "doctor.log");
  await rm(log, { force: true });
  const ending = await runDoctor(folder, python, threads, signal);
  onLog?.(await readFile(log, "utf8").catch(() => ""));
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
  const killedAt = ending.signal === "SIGKILL" ? section : null;
  if (ending.exitCode !== 0 && killedAt === null) {
    const why = ending.signal ?? ending.lastLines.at(-1) ?? ending.how;
    throw new QuarryError("INTERNAL", `the doctor's Python half failed: ${why}`, { cause: ending });
  }
  return { findings, killedAt };
}

/** Its output goes to doctor.log. A doctor calls several times: each is a fork of one process that has made the imports. */
async function runDoctor(
  folder: string,
  python: PythonEnvironment,
  threads: number,
  signal: AbortSignal,
): Promise<Ending> {
  const argv = ["doctor", "--folder", folder];
  const common = { name: "doctor", python, logDir: folder, env: threadEnvironment(threads) };
  const child = canFork
    ? launchFork({ ...common, argv })
    : launchLocal({ ...common, command: [python.executable, "-m", "quarry_runtime", ...argv] });
  const stop = (): void => child.signal("SIGTERM");
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  const ending = await child.ended;
  signal.removeEventListener("abort", stop);
  return ending;
}

/** Findings as lines of the report. */
export function toChecks(findings: readonly Finding[], group: DoctorCheck["group"]): DoctorCheck[] {
  return findings.map((finding) => ({ group, ...finding }));
}
