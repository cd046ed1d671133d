/** A small training job on synthetic texts, for tests that run real torchrun ranks with the tiny model. */
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Int32, Table, tableToIPC, Utf8, vectorFromArray } from "apache-arrow";
import type { MicroBatch } from "../../src/data/types.js";
import { processStat } from "../../src/process-stat.js";
import { findPython, type PythonEnvironment } from "../../src/python/environment.js";
import { EventStream, type QuarryEvent } from "../../src/report/events.js";
import type { Layout, TrainJob } from "../../src/training/index.js";
import { writeTinyModel } from "../fixtures/tiny-model.js";

const WORDS = "river stone cloud amber violet copper forest window harbour candle meadow silver".split(" ");
const GROUPS = 40;
export const PASSAGES_PER_QUERY = 2;

/** A rank was served a micro-batch. */
export interface Served {
  readonly step: number;
  readonly microStep: number;
  readonly rank: number;
  readonly rows: readonly number[];
}

/** A folder with a tiny model, and jobs that use it. */
export class TrainingBench {
  readonly folder: string;
  readonly python: PythonEnvironment;

  private constructor(folder: string, python: PythonEnvironment) {
    this.folder = folder;
    this.python = python;
  }

  static async open(): Promise<TrainingBench> {
    const folder = await mkdtemp(join(tmpdir(), "quarry-training-"));
    const bench = await TrainingBench.at(folder);
    await writeTinyModel(join(folder, "model"));
    return bench;
  }

  /** The bench of a folder that another process opened. */
  static async at(folder: string): Promise<TrainingBench> {
    const found = await findPython();
    return new TrainingBench(folder, { ...found, env: { ...found.env, HF_HUB_OFFLINE: "1" } });
  }

  close(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }

  /** A job in a run folder of its own; jobs of the same name go on with each other's checkpoints. */
  job(name: string, options: Partial<TrainJob> & { readonly plugins?: string[] } = {}): RecordedJob {
    const { plugins = [], ...overrides } = options;
    const events = new EventStream();
    const seen: QuarryEvent[] = [];
    const served: Served[] = [];
    events.subscribe((event) => seen.push(event));
    const job: TrainJob = {
      phase: "train",
      model: {
        ...{ checkpoint: join(this.folder, "model"), revision: null, trustRemoteCode: false },
        ...{
          encoder: "auto",
          encoderOptions: {},
          plugins: plugins.map((path) => ({ path, sha256: null })),
          pooling: null,
          normalize: null,
          similarity: null,
        },
        ...{ queryPrompt: null, passagePrompt: null, queryMaxLength: null, passageMaxLength: null, dtype: "float32" },
        ...{ appendEos: null, padToMultipleOf: null, towers: null, queryCheckpoint: null, queryRevision: null },
        ...{ adapter: null, quantization: null },
      },
      losses: [{ name: "infonce", weight: 1, sources: [], matryoshka: null, options: { temperature: 0.1 } }],
      sources: ["all"],
      miniBatchSize: null,
      lengthGroups: null,
      args: { learning_rate: 5e-3, save_steps: 100, save_total_limit: 2, lr_scheduler_type: "linear" },
      outputDir: join(this.folder, name),
      ...{ maxSteps: 6, globalBatchSize: 8, queriesPerRank: undefined, passagesPerQuery: PASSAGES_PER_QUERY },
      ...{ ranks: 1, threads: 1, maxRestarts: 2, seed: 7, isDropoutOn: true },
      python: this.python,
      logDir: join(this.folder, `${name}-logs`),
      events,
      microBatch: (step, microStep, rank, layout) => {
        const batch = microBatch(step, microStep, rank, layout);
        served.push({ step, microStep, rank, rows: [...batch.queryRows] });
        return batch;
      },
      ...overrides,
    };
    return { job, events: seen, served };
  }
}

/** A job, and what was seen of it. */
export interface RecordedJob {
  readonly job: TrainJob;
  readonly events: QuarryEvent[];
  readonly served: Served[];
}

/** The loss of each step; a step done again after a death must come out the same, so the last one stands. */
export function losses({ events }: RecordedJob): Map<number, number> {
  return new Map(events.flatMap((event) => (event.type === "trainStep" ? [[event.step, event.loss] as const] : [])));
}

/** Calls back at each finished step. */
export function onStep({ job }: RecordedJob, listener: (step: number) => void): void {
  job.events.subscribe((event) => {
    if (event.type === "trainStep") listener(event.step);
  });
}

/** A moment to come. */
export function later(): { readonly moment: Promise<void>; readonly hasCome: () => void } {
  let hasCome = (): void => {};
  const moment = new Promise<void>((resolve) => {
    hasCome = resolve;
  });
  return { moment, hasCome };
}

/**
 * The job without batches of some steps and those behind them before a moment each: ranks may be steps ahead of what is
 * told of them, and what is to happen to them at a step would come too late.
 */
export function held({ job }: RecordedJob, moments: Readonly<Record<number, Promise<void>>>): TrainJob {
  const { microBatch } = job;
  return {
    ...job,
    microBatch: async (...of) => {
      for (const [step, moment] of Object.entries(moments)) if (of[0] + 1 >= Number(step)) await moment;
      return microBatch(...of);
    },
  };
}

/**
 * The job, which is asked to stop when a step is done. Its ranks, which may be steps ahead of what is told of them, get no
 * batch behind that step: they might come to the end first.
 */
export function stoppedAfter(recorded: RecordedJob, last: number): TrainJob {
  const stop = new AbortController();
  onStep(recorded, (step) => {
    if (step === last) stop.abort();
  });
  return { ...held(recorded, { [last + 1]: new Promise(() => {}) }), signal: stop.signal };
}

/**
 * Processes below this one whose name begins with a text, or whose command line holds it: torchrun's agent, ranks.
 * The process that agents are forked from is kept for the next one, and no part of a training.
 */
export function descendants(text: string): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = processStat(entry);
    if (stat?.isRunning === true) parents.set(Number(entry), stat.parent);
  }
  const isBelow = (pid: number): boolean => {
    for (let at = parents.get(pid); at !== undefined; at = parents.get(at)) if (at === process.pid) return true;
    return false;
  };
  return [...parents.keys()].filter((pid) => isBelow(pid) && isCommand(pid, text));
}

/** Whether a process is running whose name begins with a text, or whose command line holds it. */
export function isCommand(pid: number, text: string): boolean {
  const command = read(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
  const name = read(`/proc/${pid}/comm`).trim();
  return isAlive(pid) && name !== FORKS && (command.includes(text) || name.startsWith(text));
}

/** Whether a process is there; one that has ended and waits for its parent to look is not. */
export function isAlive(pid: number): boolean {
  return read(`/proc/${pid}/cmdline`) !== "";
}

export const RANK = "quarry-rank-";
const FORKS = "quarry-forks";
export const AGENT = "quarry-torchrun";
const SERVANTS = ["quarry-ranks", "quarry-tracker"];

/** torchrun's agent first, then what it keeps: the process that ranks are forked from, and Python's own tracker. */
export function agents(): number[] {
  const isRank = new Set(ranks());
  return [AGENT, ...SERVANTS].flatMap(descendants).filter((pid) => !isRank.has(pid));
}

/** The processes of this one that agents and workers are forked from. */
export function forkServers(): number[] {
  return childrenNamed(FORKS);
}

/** Processes that this one has started and that go by a name. */
export function childrenNamed(name: string): number[] {
  const children = read(`/proc/${process.pid}/task/${process.pid}/children`).trim().split(" ");
  return children.map(Number).filter((pid) => isAlive(pid) && read(`/proc/${pid}/comm`).trim() === name);
}

/** Rank processes, in the order of their ids. */
export function ranks(): number[] {
  return descendants(RANK);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** The share of a rank in the plan's order; groups go round through the set, step by step. */
export function microBatch(step: number, microStep: number, rank: number, layout: Layout): MicroBatch {
  const { worldSize, queriesPerRank, accumulationSteps } = layout;
  const first = step * worldSize * queriesPerRank * accumulationSteps + microStep * worldSize * queriesPerRank;
  const columnCount = worldSize * queriesPerRank * PASSAGES_PER_QUERY;
  const queryRows = Int32Array.from({ length: queriesPerRank }, (_, i) => (first + rank * queriesPerRank + i) % GROUPS);
  const passageRows = Int32Array.from(queryRows).reduce<number[]>((rows, row) => [...rows, row, GROUPS + row], []);
  const labels = new Float32Array(queriesPerRank * PASSAGES_PER_QUERY);
  for (let i = 0; i < queriesPerRank; i += 1) labels[i * PASSAGES_PER_QUERY] = 1;
  return {
    queries: table([...queryRows].map((row) => [row, "", sentence(row, 3)])),
    passages: table(passageRows.map((row) => [row, row % 3 === 0 ? "Title" : "", sentence(row, 6)])),
    positiveColumns: Int32Array.from(
      { length: queriesPerRank },
      (_, i) => (rank * queriesPerRank + i) * PASSAGES_PER_QUERY,
    ),
    mask: new Uint8Array(queriesPerRank * columnCount),
    maskedPositives: 0,
    labels,
    counts: new Int32Array(queriesPerRank).fill(PASSAGES_PER_QUERY),
    sources: new Int32Array(queriesPerRank),
    queryCount: queriesPerRank,
    passagesPerQuery: PASSAGES_PER_QUERY,
    columnCount,
    queryRows,
    passageRows: Int32Array.from(passageRows),
  };
}

function sentence(row: number, words: number): string {
  return Array.from(
    { length: words + (row % 4) },
    (_, i) => WORDS[(row * 7 + i * (1 + (row % 5))) % WORDS.length],
  ).join(" ");
}

function table(rows: [number, string, string][]): Uint8Array {
  const columns = {
    row: vectorFromArray(
      rows.map(([row]) => row),
      new Int32(),
    ),
    idRank: vectorFromArray(
      rows.map(([row]) => row),
      new Int32(),
    ),
    title: vectorFromArray(
      rows.map(([, title]) => title),
      new Utf8(),
    ),
    text: vectorFromArray(
      rows.map(([, , text]) => text),
      new Utf8(),
    ),
  };
  return tableToIPC(new Table(columns), "stream");
}
