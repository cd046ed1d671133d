/** Replays a training step of a run folder: the batch as it was, and the loss by training up to it once more, elsewhere. */
import { join } from "node:path";
import { counted } from "../counted.js";
import { isMasked, openTrainingSet } from "../data/index.js";
import { type ShownGroup, showGroups } from "../data/inspect/show.js";
import type { MicroBatch, TrainingSet } from "../data/types.js";
import { QuarryError } from "../errors.js";
import { machineCount } from "../experiment/cross-checks.js";
import type { Experiment } from "../experiment/define.js";
import type { TrainConfig } from "../experiment/schema.js";
import { type RecordedRun, readRunDir } from "../rundir/directory.js";
import { deriveLayout, type Layout } from "../training/index.js";
import { type DataOptions, Look } from "./data.js";
import { begunOf, editedPlugins, learnedFrom } from "./learned-from.js";
import { recordedExperiment } from "./recorded-experiment.js";
import { switchesOf } from "./refresh/switches.js";
import { type OpenedVersion, Versions } from "./refresh/versions.js";
import { type ReplayedLoss, replayLoss } from "./replay-loss.js";
import { rowsDigest, type StepBatches } from "./step-batches.js";
import { maxStepsOf } from "./train-job.js";
import { type RecordedStep, recordedStep } from "./train-record.js";

/** How a step is replayed. */
export interface ReplayOptions extends DataOptions {
  /** Counted as train/steps.jsonl counts: the first step is 1. */
  readonly step: number;
  /** The script, where the folder alone is not enough: functions in the data, or files that were moved. */
  readonly experiment?: string;
  /** Trains up to the step once more and compares the loss. */
  readonly loss?: boolean;
}

/** A micro-step: what all ranks do at once, rank by rank. */
export interface ReplayedMicroStep {
  readonly microStep: number;
  readonly groups: readonly ShownGroup[];
  /** Of each query, the columns that do not count as its negatives. */
  readonly maskedColumns: readonly (readonly number[])[];
}

/** A step as it was. */
export interface ReplayedStep {
  readonly runDir: string;
  readonly step: number;
  readonly seed: number;
  readonly fingerprint: string;
  readonly layout: Layout;
  readonly passagesPerQuery: number;
  /** Names the batch: digest of query rows, passage rows, labels and counts. */
  readonly rows: string;
  readonly recorded: RecordedStep | null;
  /** Null where nothing was recorded to compare with. */
  readonly isSameBatch: boolean | null;
  readonly microSteps: readonly ReplayedMicroStep[];
  readonly loss: ReplayedLoss | null;
  /** With a loss: plugins, as the experiment names them, that hold other code than what the checkpoints learned with. */
  readonly editedPlugins: readonly string[];
}

/** See replayStep in index.ts. */
export async function replayStep(runDir: string, options: ReplayOptions): Promise<ReplayedStep> {
  const run = await readRunDir(runDir);
  const experiment = await recordedExperiment(run, options.experiment);
  const { step } = options;
  const train = trainingOf(run, experiment, step);
  const recorded = await recordedStep(join(run.path, "train", "steps.jsonl"), step);
  const look = new Look(experiment, options, "train");
  const { train: training, sources } = await look.data();
  if (training === null) throw new TypeError("an experiment that trains has training data");
  const given = await openTrainingSet(training.data, look.context);
  try {
    refuseOtherData(run, given);
    refuseBeyond(run, step, maxStepsOf(train, given));
    const layout = layoutOf(train, recorded);
    const place = { resolve: look, context: look.context, folder: join(run.path, "train", "negatives") };
    const switches = switchesOf(run.journal);
    const versions = new Versions(place, train, given, () => switches, begunOf(run.journal)?.mined);
    try {
      const opened = await versions.ofStep(step - 1);
      const { set, batches } = opened;
      const rows = rowsDigest(batches.groups(step - 1));
      const isSameBatch = recorded?.rows === undefined ? null : recorded.rows === rows;
      const microSteps = microStepsOf(opened, step - 1, layout, { sources, train: training }, look.context.seed);
      const again = { run, experiment, train: inPieces(train, recorded), set, batches: versions, layout, look };
      const loss = options.loss === true ? await replayLoss(again, step) : null;
      return {
        ...{ runDir: run.path, step, seed: experiment.config.seed, fingerprint: set.fingerprint, layout },
        ...{ passagesPerQuery: set.passagesPerQuery, rows, recorded, isSameBatch, microSteps, loss },
        editedPlugins: loss === null ? [] : editedIn(run, experiment, set.fingerprint),
      };
    } finally {
      await versions.close();
    }
  } finally {
    given.close();
  }
}

/** The train section of a run. @throws QuarryError CONFIG where there is none, and for what is no step of any. */
function trainingOf({ path }: RecordedRun, { config }: Experiment, step: number): TrainConfig {
  if (config.train === undefined) {
    throw new QuarryError("CONFIG", `${path} has no training to replay.`, {
      hint: "Name the folder of a run with a train section.",
    });
  }
  if (!(Number.isSafeInteger(step) && step >= 1)) {
    throw new QuarryError("CONFIG", `step: expected a whole number from 1 on, saw ${step}`, {
      hint: "Steps are counted as in train/steps.jsonl; quarry data show counts the same steps from 0.",
    });
  }
  return config.train;
}

function refuseBeyond({ path }: RecordedRun, step: number, last: number): void {
  if (step <= last) return;
  throw new QuarryError("CONFIG", `step: ${path} trains for ${counted(last, "steps")}, saw ${step}`, {
    hint: `Name a step from 1 to ${last}.`,
  });
}

/** What each micro-step of a step held; `step` counts from 0. */
function microStepsOf(
  { set, batches }: OpenedVersion,
  step: number,
  layout: Layout,
  shown: Parameters<typeof showGroups>[2],
  seed: number,
): ReplayedMicroStep[] {
  const groups = batches.groups(step);
  const size = layout.worldSize * layout.queriesPerRank;
  return Array.from({ length: layout.accumulationSteps }, (_, microStep) => {
    const first = microStep * size;
    return {
      microStep,
      groups: showGroups(set, groups.slice(first, first + size), shown, { step, first, seed }).groups,
      maskedColumns: maskedColumns(batches, step, microStep, layout),
    };
  });
}

function refuseOtherData({ path, environment }: RecordedRun, set: TrainingSet): void {
  const trainedOn = environment.data?.["train.set"];
  if (trainedOn === undefined || trainedOn === set.fingerprint) return;
  throw new QuarryError("INTEGRITY", `the data is not what ${path} was trained on: its files or options changed.`, {
    hint: "Put the files back as they were, or name the script beside them with --experiment.",
  });
}

/** A loss that is another one may be so because of them; the batch knows nothing of plugins. */
function editedIn({ journal }: RecordedRun, experiment: Experiment, data: string): string[] {
  return editedPlugins(begunOf(journal), learnedFrom(experiment, data), experiment.config);
}

/** How the step was cut, as its line says; of a step that was not done, as the options say. */
function layoutOf(train: TrainConfig, step: RecordedStep | null): Layout {
  const { globalBatchSize, ranks } = train;
  const count = step?.ranks ?? (ranks === "auto" ? 1 : ranks) * machineCount(train);
  const queriesPerRank = step?.queriesPerRank ?? train.queriesPerRank;
  return deriveLayout({ globalBatchSize, queriesPerRank, ranks: count });
}

/** The training with the pieces of the step; folders of older versions know those of the last start only. */
function inPieces(train: TrainConfig, step: RecordedStep | null): TrainConfig {
  const { miniBatchSize = train.miniBatchSize, lengthGroups = train.lengthGroups, fsdp = train.args.fsdp } = step ?? {};
  const { fsdpConfig, ...rest } = train.args;
  const args = { ...rest, fsdp, ...(fsdp && fsdpConfig !== undefined ? { fsdpConfig } : {}) };
  return { ...train, miniBatchSize: miniBatchSize ?? undefined, lengthGroups, args };
}

function maskedColumns(batches: StepBatches, step: number, microStep: number, layout: Layout): number[][] {
  return Array.from({ length: layout.worldSize }, (_, rank) =>
    columnsOf(batches.microBatch(step, microStep, rank, layout)),
  ).flat();
}

function columnsOf({ mask, queryCount, columnCount }: MicroBatch): number[][] {
  return Array.from({ length: queryCount }, (_, query) => {
    const own = mask.subarray(query * columnCount, (query + 1) * columnCount);
    return Array.from(own.keys()).filter((column) => isMasked(own[column] as number));
  });
}
