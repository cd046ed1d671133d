/** `track`: hands the numbers of a run to an experiment tracker, also while it is at work. The run knows nothing of it. */
import { join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { type QuarryError, stopIfAborted, toQuarryError } from "../../errors.js";
import { makeFolder } from "../../make-folder.js";
import { findPython } from "../../python/environment.js";
import { leavesOf } from "../../report/leaves.js";
import { isAtWork, readRunDir } from "../../rundir/directory.js";
import { toldBy } from "../runtime-command.js";
import { metricsIn } from "./metrics.js";
import { Tail } from "./tail.js";

/** How a run is tracked. */
export interface TrackOptions {
  /** A tracker that accelerate knows: tensorboard, wandb, mlflow, trackio, comet_ml, aim, clearml, dvclive or swanlab. */
  readonly with: string;
  /** Default: the experiment's name. */
  readonly project?: string;
  /** Where trackers write that keep files; default: `tracking` in the run folder. */
  readonly out?: string;
  readonly signal?: AbortSignal;
}

/** What was handed over. */
export interface Tracked {
  /** The last step of training. */
  readonly steps: number;
  /** Absolute; for trackers that keep files. */
  readonly out: string;
}

type Values = Readonly<Record<string, unknown>>;

/** What the tracker is told behind the options. */
interface Line {
  readonly step: number;
  readonly values: Values;
}

/** Between two looks at a run that is at work. */
const POLL_MS = 2_000;

/** See the verb in ../index.ts. */
export async function trackRun(runDir: string, options: TrackOptions): Promise<Tracked> {
  const { signal = new AbortController().signal } = options;
  const { path, experiment } = await readRunDir(runDir);
  const { name } = experiment as { readonly name: string };
  const out = resolve(options.out ?? join(path, "tracking"));
  const python = await findPython({ signal });
  makeFolder(out);
  const args = ["--tracker", options.with, "--project", options.project ?? name, "--name", name, "--dir", out];
  // One for each tracker: two of them may be told at once.
  args.push("--record", join(path, "tracking", `${options.with}.json`));
  const child = execa(python.executable, ["-m", "quarry_runtime", "track", ...args], {
    // Where trackers put what they keep beside their logs; their keys and addresses are in the user's environment.
    cwd: out,
    env: { ...process.env, ...python.env },
    stdin: "pipe",
    stdout: "ignore",
    reject: false,
  });
  // One that ends at once leaves a broken pipe, and says on stderr why.
  const isOver = (): boolean => child.exitCode !== null || signal.aborted;
  let steps = 0;
  async function* texts(): AsyncGenerator<string> {
    const options = leavesOf(experiment).map(([option, value]) => [option, plain(value)]);
    yield `${JSON.stringify({ config: Object.fromEntries(options) })}\n`;
    for await (const line of follow(path, isOver)) {
      steps = Math.max(steps, line.step);
      yield `${JSON.stringify(line)}\n`;
    }
  }
  const broken = await pipeline(texts, child.stdin, { signal }).then(() => null, fault);
  const result = await child;
  stopIfAborted(signal);
  if (result.exitCode !== 0) throw toldBy(result, `${options.with} took no numbers`);
  if (broken !== null) throw broken;
  return { steps, out };
}

/** What went wrong with the run's own files; null where the tracker has only ended first. */
function fault(thrown: unknown): QuarryError | null {
  const { code } = thrown as NodeJS.ErrnoException;
  return code === "EPIPE" || code === "ERR_STREAM_PREMATURE_CLOSE" ? null : toQuarryError(thrown);
}

/**
 * What is there and what comes, until the run is no longer at work. What was measured at a step comes with it, or, when it
 * was measured later, as soon as it is known.
 *
 * @param isOver whether nobody listens any more
 */
export async function* follow(runDir: string, isOver: () => boolean, pollMs = POLL_MS): AsyncGenerator<Line> {
  const steps = new Tail(join(runDir, "train", "steps.jsonl"));
  const events = new Tail(join(runDir, "events.jsonl"));
  const evaluated = new Map<number, Values>();
  const told = new Set<number>();
  let last = 0;
  function* measured(upTo: number): Generator<Line> {
    for (const [step, values] of [...evaluated].sort(([one], [other]) => one - other)) {
      if (step > upTo) return;
      evaluated.delete(step);
      yield { step, values };
    }
  }
  for (;;) {
    // Asked before the files are read: what is written afterwards is read in the next round.
    const isGoingOn = await isAtWork(runDir);
    for await (const { type, step, values } of events.fresh()) {
      // An evaluation that a resume repeated has the same values.
      if (type !== "evaluation" || told.has(step as number)) continue;
      told.add(step as number);
      evaluated.set(step as number, prefixed("evaluation", values as Values));
    }
    for await (const { step, loss, learningRate, gradNorm, waitShare } of steps.fresh()) {
      // After a death steps are done again, with the same numbers.
      if (typeof step !== "number" || step <= last) continue;
      yield* measured(last);
      last = step;
      const here = evaluated.get(step) ?? {};
      evaluated.delete(step);
      yield { step, values: { ...prefixed("train", { loss, learningRate, gradNorm, waitShare }), ...here } };
    }
    yield* measured(isGoingOn ? last : Number.POSITIVE_INFINITY);
    if (isOver()) return;
    if (!isGoingOn) break;
    await sleep(pollMs);
  }
  for (const { step, set, values } of await metricsIn(runDir)) {
    yield { step: last, values: prefixed(set === null ? step : `${step}/${set}`, values) };
  }
}

/** Trackers know texts, numbers and booleans; the rest stays JSON. */
function plain(value: unknown): unknown {
  return typeof value === "object" ? JSON.stringify(value) : value;
}

/** Finite numbers under `prefix/name`. */
function prefixed(prefix: string, values: Values): Record<string, number> {
  const numbers = Object.entries(values).filter(
    (entry): entry is [string, number] => typeof entry[1] === "number" && Number.isFinite(entry[1]),
  );
  return Object.fromEntries(numbers.map(([name, value]) => [`${prefix}/${name}`, value]));
}
