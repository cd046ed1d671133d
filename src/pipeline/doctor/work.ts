/** What the Python half looks at, written into a folder: samples of texts, micro-batches as they travel, the task. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { permuted, prepareSource } from "../../data/index.js";
import { type InspectedData, isRun } from "../../data/inspect/inspected.js";
import type { DataContext, TextTable, TrainingSet } from "../../data/types.js";
import type { ExperimentConfig } from "../../experiment/schema.js";
import { evaluatedSets } from "../../experiment/sources.js";
import type { CrossEncoderSpec, ModelSpec } from "../../protocol/messages.js";
import { type Layout, packMicroBatch, type TrainJob, trainTask } from "../../training/index.js";
import type { StepBatches } from "../step-batches.js";
import type { PairSample } from "./pairs.js";

const QUERIES = 256;
const PASSAGES = 512;
/** Micro-batches that the probe goes round with: enough that the longest of them is a long one. */
const PROBE_BATCHES = 16;

/** Texts of one side; mirrors Sample in py_runtime/quarry_runtime/doctor/work.py. */
export interface Sample {
  readonly name: string;
  readonly side: "query" | "passage";
  readonly file: string;
  readonly isWhole: boolean;
  readonly isTimed: boolean;
}

/** A sample of what is trained on: the first groups of epoch 0, whose order is random. */
export async function sampleTraining(folder: string, set: TrainingSet): Promise<Sample[]> {
  const queries = new Set<number>();
  const passages = new Set<number>();
  const groups = Math.min(QUERIES, set.queryCount);
  for (let place = 0; place < groups && passages.size < PASSAGES; place += 1) {
    const group = set.group(permuted(place, set.queryCount, 0, 0), 0);
    queries.add(group.query);
    for (const row of group.passages.subarray(0, group.count)) passages.add(row);
  }
  const isWhole = groups === set.queryCount;
  const write = async (
    side: Sample["side"],
    rows: ReadonlySet<number>,
    gather: (rows: Int32Array) => Uint8Array,
  ): Promise<Sample> => {
    const file = `train-${side}.arrow`;
    await writeFile(join(folder, file), gather(Int32Array.from(rows)));
    const name = side === "query" ? "train queries" : "train passages";
    return { ...{ name, side, file }, isWhole: isWhole && side === "query", isTimed: false };
  };
  return [
    await write("query", queries, (rows) => set.gatherQueries(rows)),
    await write("passage", passages, (rows) => set.gatherPassages(rows)),
  ];
}

/** What is known of a set that is searched or encoded. */
export interface SearchedSet {
  readonly path: string;
  readonly passageCount: number;
  /** Names the passages, so that equal ones are encoded once. */
  readonly fingerprint: string;
  readonly samples: readonly Sample[];
}

/**
 * Whether a set's passages count for time and disk. Those that are measured while training are encoded beside the ranks,
 * as often as there are checkpoints, and are not stored.
 */
export function isPriced(path: string): boolean {
  return !path.startsWith("train.");
}

/** Whether the experiment's model encodes what stands at a path: not where runs from elsewhere take its place. */
function isEncoded({ evaluate, mine }: Pick<ExperimentConfig, "evaluate" | "mine">, path: string): boolean {
  if (isRun(path)) return false;
  if (path.startsWith("mine.")) return mine?.includeModel !== false;
  if (!path.startsWith("evaluate.") || evaluate === undefined) return true;
  return evaluatedSets(evaluate).every(({ run }) => run === null);
}

/** Samples of what the model encodes to evaluate, mine or search; passages that two sections share are sampled once. */
export async function sampleSearched(
  folder: string,
  config: ExperimentConfig,
  searched: InspectedData["searched"],
  context: DataContext,
): Promise<SearchedSet[]> {
  const sets: SearchedSet[] = [];
  for (const [number, { path, data }] of searched.entries()) {
    if (!isEncoded(config, path)) continue;
    const source = await prepareSource(data, context);
    try {
      const { passages, queries, searchRows, encodableQueries, qrels } = source;
      const name = path.replace(/\.data$/, "");
      const isKnown = sets.some(({ fingerprint }) => fingerprint === passages.fingerprint);
      const queryRows = qrels === null ? encodableQueries : qrels.queryRows;
      const samples: Sample[] = [];
      const add = async (side: Sample["side"], table: TextTable, rows: Int32Array, most: number): Promise<void> => {
        if (rows.length === 0) return;
        const file = `searched-${number}-${side}.arrow`;
        await writeFile(join(folder, file), table.gather(some(rows, most)));
        const what = side === "query" ? "queries" : "passages";
        samples.push({
          ...{ name: `${name} ${what}`, side, file },
          isWhole: rows.length <= most,
          isTimed: side === "passage" && isPriced(path),
        });
      };
      if (!isKnown) await add("passage", passages, searchRows, PASSAGES);
      await add("query", queries, queryRows, QUERIES);
      const { fingerprint } = passages;
      sets.push({ path, fingerprint, samples, passageCount: searchRows.length });
    } finally {
      source.close();
    }
  }
  return sets;
}

/** Some of the rows, ascending, chosen at random but always the same. */
function some(rows: Int32Array, most: number): Int32Array {
  if (rows.length <= most) return rows;
  return Int32Array.from({ length: most }, (_, place) => rows[permuted(place, rows.length, 0, 0)] as number).sort();
}

/** Step 0's micro-steps, the queries of all ranks in one batch each: what the loss is made of. */
export async function writeLossBatches(folder: string, batches: StepBatches, layout: Layout): Promise<string[]> {
  const { worldSize, queriesPerRank, accumulationSteps } = layout;
  const whole: Layout = { worldSize: 1, queriesPerRank: worldSize * queriesPerRank, accumulationSteps };
  const files: string[] = [];
  for (let microStep = 0; microStep < accumulationSteps; microStep += 1) {
    const file = `loss-${microStep}.bin`;
    await writeFile(join(folder, file), packMicroBatch(batches.microBatch(0, microStep, 0, whole), 0, microStep));
    files.push(file);
  }
  return files;
}

/** One rank's micro-batches of the first steps, cut to `queriesPerRank` queries. */
export async function writeProbeBatches(
  folder: string,
  batches: StepBatches,
  globalBatchSize: number,
  queriesPerRank: number,
): Promise<string[]> {
  const accumulationSteps = globalBatchSize / queriesPerRank;
  const layout: Layout = { worldSize: 1, queriesPerRank, accumulationSteps };
  const files: string[] = [];
  for (let number = 0; number < PROBE_BATCHES; number += 1) {
    const [step, microStep] = [Math.floor(number / accumulationSteps), number % accumulationSteps];
    const file = `probe-${queriesPerRank}-${number}.bin`;
    await writeFile(
      join(folder, file),
      packMicroBatch(batches.microBatch(step, microStep, 0, layout), step, microStep),
    );
    files.push(file);
  }
  return files;
}

/** A cross-encoder and the pairs that it is tried on; mirrors CrossWork in py_runtime/quarry_runtime/doctor/work.py. */
export interface CrossWork {
  readonly path: string;
  readonly spec: CrossEncoderSpec;
  readonly samples: readonly PairSample[];
  readonly batchSize: number;
  readonly seconds: number;
}

/** Everything that one call of the Python half is asked, but for the device; mirrors Work in py_runtime/quarry_runtime/doctor/work.py. */
export interface Work {
  readonly sections: readonly ("tokens" | "loss" | "probe" | "encode" | "pairs" | "score")[];
  readonly model: ModelSpec;
  readonly train: ReturnType<typeof trainTask> | null;
  readonly samples: readonly Sample[];
  readonly lossBatches: readonly string[];
  readonly probeBatches: readonly string[];
  readonly probeSeconds: number;
  readonly batchSize: number;
  readonly encodeSeconds: number;
  /** A cross-encoder that is looked at, instead of the model. */
  readonly cross?: CrossWork;
}

/** The task of a rank, with at most two micro-steps a step: a probe of seconds must not wait for dozens. */
export function probeTask(job: TrainJob, queriesPerRank: number, accumulationSteps: number): Work["train"] {
  const layout: Layout = { worldSize: 1, queriesPerRank, accumulationSteps: Math.min(2, accumulationSteps) };
  return trainTask(job, layout, null);
}
