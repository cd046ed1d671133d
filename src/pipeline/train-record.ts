/** The loss curve of a training, and the note of what its weights learn from: durable before a checkpoint counts. */
import { appendFile, rm } from "node:fs/promises";
import type { TrainConfig } from "../experiment/schema.js";
import { diskError, syncFile } from "../rundir/durable.js";
import type { JournalEntry } from "../rundir/journal.js";
import { linesOf, openLines, recordsOf } from "../rundir/jsonl.js";
import { findLatestCheckpoint } from "../training/index.js";
import type { RunContext } from "./context.js";
import { begunEntry, begunOf, type LearnedFrom } from "./learned-from.js";
import { writeLines } from "./line-file.js";
import type { Batches } from "./step-batches.js";

/** What train/steps.jsonl says of a step. */
export interface RecordedStep {
  readonly step: number;
  readonly loss: number;
  /** Names the batch; missing in folders of older versions. */
  readonly rows?: string;
  readonly ranks?: number;
  readonly queriesPerRank?: number;
  /** Null where all texts were encoded at once. */
  readonly miniBatchSize?: number | null;
  readonly lengthGroups?: TrainConfig["lengthGroups"];
  readonly fsdp?: boolean;
}

/** The journal's entry that comes once a checkpoint was complete. */
const CHECKPOINTED = "checkpointed";

/** Whether a run folder had a checkpoint to go on from; folders of older versions may not tell. */
export function wasCheckpointed(entries: readonly JournalEntry[]): boolean {
  return entries.some(({ type }) => type === CHECKPOINTED);
}

/**
 * Forgets the steps of a first try that ended before any checkpoint: nothing goes on from them, and this training may
 * have other options. Call it before anybody asks which steps were told.
 */
export async function forgetFirstTry({ runDir }: RunContext): Promise<void> {
  if (begunOf(runDir.journal.entries) !== undefined) return;
  if ((await findLatestCheckpoint(runDir.file("train"))) !== null) return;
  await rm(runDir.file("train", "steps.jsonl"), { force: true });
}

/**
 * Keeps the loss curve in train/steps.jsonl (after a restart a step may stand there again, the later line counts; `rows`
 * names its batch), and notes in the journal, before the first checkpoint counts, what the weights learn from, and once
 * it does, that there is one.
 */
export function recordTraining(context: RunContext, options: TrainConfig, from: LearnedFrom, batches: Batches) {
  const path = context.runDir.file("train", "steps.jsonl");
  const { journal } = context.runDir;
  // A resume may change them, and with dropout or in 16 bits a step's loss depends on them.
  const { miniBatchSize = null, lengthGroups, args } = options;
  const pieces = { miniBatchSize, lengthGroups, fsdp: args.fsdp };
  let isCheckpointed = wasCheckpointed(journal.entries);
  let written: Promise<void> = Promise.resolve();
  const then = (work: () => Promise<void>): void => {
    // After a failure nothing more is written: a curve has no gaps.
    written = written.then(work);
    written.catch(() => {});
  };
  // A last line that a crash tore would swallow the next one.
  then(async () => (await openLines(path)).file.close());
  const unsubscribe = context.events.subscribe((event) => {
    if (event.type === "checkpoint" && !isCheckpointed) {
      isCheckpointed = true;
      then(() => journal.append({ type: CHECKPOINTED, step: event.step }));
    }
    if (event.type !== "trainStep") return;
    const { step, loss, learningRate, gradNorm, waitShare, negatives } = event;
    // Reports count finished steps from 1, the plan counts from 0.
    const line = { step, loss, learningRate, gradNorm, ...batches.take(step - 1), ...pieces, waitShare, negatives };
    then(() => appendFile(path, `${JSON.stringify(line)}\n`));
  });
  const told = (): Promise<void> =>
    written.catch((thrown: unknown) => {
      throw diskError(thrown, path);
    });
  return {
    /**
     * The steps up to now are on the disk; a checkpoint that outlived its lines would leave a gap that nothing fills.
     *
     * @throws QuarryError ENVIRONMENT when the disk is full or refuses.
     */
    settle: (): Promise<void> => {
      const entry = begunEntry(journal.entries, from);
      if (entry !== null) then(() => journal.append(entry));
      then(() => syncFile(path));
      return told();
    },
    /** Workers notice an early stop later than its step: what was trained beyond it is no part of the curve. */
    endAt: (last: number): Promise<void> => {
      then(() =>
        writeLines(path, async (file) => {
          for await (const line of linesOf(path)) if (stepOf(line) <= last) await file.write([line]);
        }),
      );
      return told();
    },
    close: (): Promise<void> => {
      unsubscribe();
      return told();
    },
  };
}

/** What a record of steps says of a step: its last line counts, for after a death it may have been done again. */
export async function recordedStep(path: string, step: number): Promise<RecordedStep | null> {
  let recorded: RecordedStep | null = null;
  for await (const found of recordsOf(path)) if (found.step === step) recorded = found as unknown as RecordedStep;
  return recorded;
}

/** The last step that a record of steps tells to be done; 0 where there is none. */
export async function toldSteps(path: string): Promise<number> {
  let told = 0;
  for await (const line of linesOf(path)) told = Math.max(told, stepOf(line));
  return told;
}

/** The step of a line of steps.jsonl; a line that was torn by a death stays as it is. */
function stepOf(line: string): number {
  return Number(/^\{"step":(\d+),/.exec(line)?.[1] ?? 0);
}
