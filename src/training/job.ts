/** What training is asked for and what it ends with. */
import type { MicroBatch } from "../data/types.js";
import type { NodesOptions } from "../pool/launch/nodes.js";
import type { LossSpec, ModelSpec } from "../protocol/messages.js";
import type { PythonEnvironment } from "../python/environment.js";
import type { EventStream } from "../report/events.js";

/** How a global batch is cut: step = accumulationSteps micro-steps × worldSize ranks × queriesPerRank queries. */
export interface Layout {
  readonly worldSize: number;
  readonly queriesPerRank: number;
  readonly accumulationSteps: number;
}

export interface TrainJob {
  /** Phase id under which progress is reported. */
  readonly phase: string;
  readonly model: ModelSpec;
  readonly losses: LossSpec[];
  /** What the parts of the training data are called; micro-batches give their numbers. */
  readonly sources: string[];
  /** A plugin's whole retriever; without one it is Quarry's own. */
  readonly retriever?: { readonly name: string; readonly options: Record<string, unknown> } | null;
  /** transformers.TrainingArguments in snake_case. */
  readonly args: Record<string, unknown>;
  /** Holds checkpoint-<step> folders. */
  readonly outputDir: string;
  readonly maxSteps: number;
  readonly globalBatchSize: number;
  readonly queriesPerRank: number | undefined;
  /** Texts of one side that a rank encodes with gradient at a time; null takes a whole micro-batch. */
  readonly miniBatchSize: number | null;
  /** Groups of like length in which they are encoded; null leaves their number to the lengths. */
  readonly lengthGroups: number | null;
  readonly passagesPerQuery: number;
  /** Over all machines. */
  readonly ranks: number;
  /** The machines beside this one; each has as many ranks as this one. */
  readonly nodes?: TrainNodes;
  readonly threads: number;
  /** "cpu" hides every GPU from the ranks; "auto", the default, gives each rank one where there are some. */
  readonly device?: "auto" | "cpu";
  /** Restarts after a death, those by torchrun and those of torchrun together. */
  readonly maxRestarts: number;
  /** For all ranks of a start to be there; default 5 minutes. */
  readonly startTimeoutMs?: number;
  /** Without a finished micro-step for this long, after the first step, the ranks are killed; default 10 minutes. */
  readonly stepTimeoutMs?: number;
  readonly seed: number;
  readonly isDropoutOn: boolean;
  readonly python: PythonEnvironment;
  readonly logDir: string;
  readonly events: EventStream;
  /** Aborting saves a checkpoint and stops. */
  readonly signal?: AbortSignal;
  /** Aborting stops without saving: the checkpoint that counts is there. */
  readonly halt?: AbortSignal;
  /** Checkpoints that are evaluated while training goes on; without it none are. */
  readonly evaluation?: JobEvaluation;
  /** A checkpoint is written every so many steps besides those of args.save_steps; default: no others. */
  readonly checkpointEvery?: number;
  /** Called when all ranks of a start are there, before they are told anything; what it throws ends the training. */
  readonly beforeStart?: () => Promise<void>;
  /** Called before a checkpoint counts, after its steps were told as events; what it throws ends the training. */
  readonly beforeSeal?: () => Promise<void>;
  /**
   * A rank's share of a micro-step; steps, micro-steps and ranks count from 0. Must be pure. A rank whose promise is
   * not settled waits, whatever the limit on standing still.
   */
  readonly microBatch: (
    step: number,
    microStep: number,
    rank: number,
    layout: Layout,
  ) => MicroBatch | Promise<MicroBatch>;
  /** The negatives that a step learned from, where they change in training. */
  readonly negativesOf?: (step: number) => StepNegatives;
  /** Ids and places of the texts behind rows of micro-batches, for an error that names them. */
  readonly nameRows?: (queries: readonly number[], passages: readonly number[]) => string;
}

/** The other machines of a training. */
export interface TrainNodes {
  readonly others: NodesOptions["nodes"];
  /** All machines, this one included. */
  readonly count: number;
  /** Training goes on with so many where others are lost for good. */
  readonly least: number;
  /** Address of this machine that the others reach, tcp://host:port. */
  readonly listen: string;
  readonly runDir: string;
}

/** Which negatives a step learned from. */
export interface StepNegatives {
  /** 0 are those that the experiment names. */
  readonly version: number;
  /** Steps since the checkpoint that mined them; null for version 0. */
  readonly staleness: number | null;
}

/** How checkpoints are evaluated, as far as the ranks are concerned. */
export interface JobEvaluation {
  /** A checkpoint is written every so many steps as well. */
  readonly everySteps: number;
  /**
   * The ranks evaluate themselves: all stand after the checkpoint of the step and wait for what `tell` sends them, until
   * that has no ticket. Called again for the ranks of a later start.
   */
  readonly inRanks?: (step: number, tell: (order: EvaluationOrder) => void) => void;
}

/** What a rank that waits is told: work for the pool of this ticket, or go on; the last one ends the training. */
export interface EvaluationOrder {
  readonly ticketPath: string | null;
  readonly isLast: boolean;
}

export interface TrainOutcome {
  /** Folder of the last complete checkpoint. */
  readonly checkpoint: string;
  /** Steps that it has seen, counting from the very first run. */
  readonly step: number;
  /** Spent in optimiser steps, those done twice after a death included; neither start-up nor the last save. */
  readonly seconds: number;
  /** Share of these seconds in which the slowest rank had to wait for a micro-batch; null without a step. */
  readonly waitShare: number | null;
  /** Steps by which this call moved on. */
  readonly stepsDone: number;
  /** True when the signal ended it before maxSteps. */
  readonly isStopped: boolean;
}
