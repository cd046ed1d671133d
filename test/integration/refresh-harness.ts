/** A small training with refreshed negatives, for tests that run real ranks and real miners with the tiny model. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { biEncoder, binary, defineExperiment, type Experiment, source } from "../../src/experiment/define.js";
import type { ExperimentInput, RefreshInput } from "../../src/experiment/options.generated.js";
import { train } from "../../src/pipeline/run.js";
import { EventStream, type QuarryEvent } from "../../src/report/events.js";
import { readJournal } from "../../src/rundir/journal.js";

/** Where the tiny model and the collection lie. */
export interface Place {
  readonly folder: string;
  readonly model: string;
  readonly collection: string;
}

type TrainInput = NonNullable<ExperimentInput["train"]>;

export const STEPS = 20;

/** A line of train/steps.jsonl. */
export interface StepLine {
  readonly step: number;
  readonly loss: number;
  readonly maskedPositives: number;
  readonly negatives: { readonly version: number; readonly staleness: number | null };
  readonly rows?: string;
}

/** A switch as the journal holds it. */
export interface SwitchEntry {
  readonly type: string;
  readonly version: number;
  readonly fromStep: number;
  readonly atStep: number;
}

/** 20 steps on 12 queries, without any negatives at first; `more` are further options of training. */
export function refreshing(
  place: Place,
  name: string,
  refresh: RefreshInput,
  more: Partial<TrainInput> = {},
): Experiment {
  return defineExperiment({
    name,
    model: biEncoder(place.model, { dtype: "float32" }),
    train: {
      data: binary({
        positives: source({ corpus: place.collection, qrels: join(place.collection, "qrels/train.tsv") }),
        negativesPerQuery: 2,
      }),
      loss: { name: "infonce", temperature: 0.1 },
      globalBatchSize: 6,
      ranks: 1,
      threads: 1,
      refresh: { mine: { topK: 30, negativesPerQuery: 4, sampling: "random" }, workers: { threads: 1 }, ...refresh },
      args: { maxSteps: STEPS, learningRate: 5e-3, saveSteps: 4, saveTotalLimit: 1 },
      ...more,
    },
    workers: { count: 1, threads: 1, unitSize: 64, device: "cpu" },
    runDir: join(place.folder, "runs", name),
    cacheDir: join(place.folder, "cache"),
  });
}

/** Trains, and hears what is said. */
export async function trainAndListen(
  experiment: Experiment,
  listener: (event: QuarryEvent) => void = () => {},
  signal?: AbortSignal,
): Promise<QuarryEvent[]> {
  const events = new EventStream();
  const seen: QuarryEvent[] = [];
  events.subscribe((event) => {
    seen.push(event);
    listener(event);
  });
  await train(experiment, { events, ...(signal === undefined ? {} : { signal }) });
  return seen;
}

/** The last line of each step, in their order. */
export async function stepLines({ folder }: Place, name: string): Promise<StepLine[]> {
  const lines = await linesOf<StepLine>(join(folder, "runs", name, "train/steps.jsonl"));
  return [...new Map(lines.map((line) => [line.step, line])).values()].sort((one, other) => one.step - other.step);
}

/** The switches of a run's journal. */
export async function switchEntries({ folder }: Place, name: string): Promise<SwitchEntry[]> {
  const entries = await readJournal(join(folder, "runs", name, "journal.jsonl"));
  return entries.filter(({ type }) => type === "negativesSwitched") as unknown as SwitchEntry[];
}

/** What the evaluations of a run's training found, without their times. */
export async function curveOf({ folder }: Place, name: string): Promise<object[]> {
  const lines = await linesOf<{ step: number; values: object | null }>(
    join(folder, "runs", name, "train/evaluations.jsonl"),
  );
  return lines.map(({ step, values }) => ({ step, values }));
}

async function linesOf<T>(path: string): Promise<T[]> {
  const text = await readFile(path, "utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
}
