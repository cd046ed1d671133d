/** What a pool of workers offers: units of texts go in, durable results come out, whatever dies in between. */
import type { ErrorCode } from "../errors.js";
import type {
  CrossEncoderContract,
  CrossEncoderSpec,
  ModelContract,
  ModelSpec,
  PluginFile,
  VectorDtype,
} from "../protocol/messages.js";

/** A list of units that are built only when a worker takes them. */
export interface UnitList {
  readonly count: number;
  /** Stable name of the unit, the same on every run, e.g. "passages-12". */
  id(index: number): string;
  rowCount(index: number): number;
  /** Row numbers of a unit, for the error that names them. */
  rows(index: number): Int32Array;
  /** The unit's Arrow IPC stream. */
  frame(index: number): Uint8Array;
  /** Units of stored vectors by their places in files, for workers that see this disk. */
  readonly placed?: {
    readonly files: readonly string[];
    /** The unit's Arrow IPC stream, with places where `frame` has vectors. */
    frame(index: number): Uint8Array;
  };
}

/** A unit given up: it killed `maxAttempts` workers or failed for a reason that will not change. */
export interface FailedUnit {
  readonly unit: string;
  /** The texts that caused it where the worker could tell, else all of the unit. */
  readonly rows: Int32Array;
  /** All texts of the unit. */
  readonly unitRows: Int32Array;
  /** WORKER for one that kills workers, else the code of its own error, e.g. DATA for a NaN. */
  readonly code: ErrorCode;
  readonly message: string;
}

interface Job {
  /** Phase id under which progress is reported. */
  readonly phase: string;
  readonly units: UnitList;
  /** Texts in one forward pass; default: the pool's. */
  readonly batchSize?: number;
  /** Units that need no work because an earlier run made them durable. */
  readonly isDone?: (index: number) => boolean;
  readonly signal?: AbortSignal;
}

/** Vectors as they are kept, [rowCount × dimension] row by row. */
export interface StoredVectors {
  readonly dtype: VectorDtype;
  readonly dimension: number;
  /** Little endian. */
  readonly bytes: Uint8Array;
  /** [rowCount] for int8: vector ≈ scale × codes; else null. */
  readonly scales: Float32Array | null;
}

/** Pairs of query and passage to be scored; frames hold row, query, title, text. */
export interface ScoreJob extends Job {
  readonly model: CrossEncoderSpec;
  /** Takes a unit's scores, [rowCount]; the unit is durable when the promise resolves. */
  readonly onScores: (index: number, scores: Float32Array) => Promise<void>;
}

export interface EncodeJob extends Job {
  readonly model: ModelSpec;
  readonly side: "query" | "passage";
  /** What vectors are rounded to by the worker; default: float32. */
  readonly vectorDtype?: VectorDtype;
  /** Takes a unit's vectors; the unit is durable when the promise resolves. */
  readonly onVectors: (index: number, vectors: StoredVectors) => Promise<void>;
}

/** The running top-k of one worker, cumulative; replaces the worker's earlier one. */
export interface Snapshot {
  /** Names one life of one worker, e.g. "worker-0.2". */
  readonly session: string;
  /** Every unit that this snapshot covers since the session began. */
  readonly units: readonly number[];
  /** [queryCount × topK], score descending then id rank descending. */
  readonly scores: Float32Array;
  /** [queryCount × topK]; -1 pads. */
  readonly rows: Int32Array;
  /** [tracked pairs]: scores of those seen since the session began, -Infinity for the others; null without such pairs. */
  readonly tracked: Float32Array | null;
}

/** Pairs whose scores are wanted wherever they rank. */
export interface TrackedPairs {
  /** Places among the queries that are searched for, [pairs]. */
  readonly queries: Int32Array;
  /** Passage rows, [pairs]. */
  readonly rows: Int32Array;
}

export interface SearchJob extends Job {
  /** Encodes units of texts on the way; null when units hold stored vectors: then no model is loaded. */
  readonly model: ModelSpec | null;
  /** Plugins that may register the similarity. */
  readonly plugins?: readonly PluginFile[];
  /** What stored vectors come as; those made on the way are rounded to it first. Default: float32. */
  readonly vectorDtype?: VectorDtype;
  /** Ascending by passage row. */
  readonly tracked?: TrackedPairs;
  /** dot, cosine, or one that a plugin registers. */
  readonly similarity: string;
  /** Whether queries and passages get length 1 before they are scored: cosine of a model that does not do so itself. */
  readonly isNormalizing: boolean;
  readonly topK: number;
  /** [queryCount × dimension]. */
  readonly queries: Float32Array;
  readonly queryCount: number;
  readonly dimension: number;
  /** The units of the snapshot are durable when the promise resolves. */
  readonly onSnapshot: (snapshot: Snapshot) => Promise<void>;
  readonly snapshotEveryUnits?: number;
}

/** A sample of texts, or of pairs for a cross-encoder, by which the best batch size is found. */
export interface ProbeJob {
  readonly probed:
    | { readonly model: ModelSpec; readonly side: "query" | "passage" }
    | { readonly crossEncoder: CrossEncoderSpec };
  /** Arrow IPC stream of the sample, as a unit's. */
  readonly frame: Uint8Array;
  readonly rowCount: number;
  readonly maxBatchSize: number;
  readonly signal?: AbortSignal;
}

/** A batch size that was tried. */
export interface ProbedSize {
  readonly batchSize: number;
  readonly textsPerSecond: number;
}

export interface JobOutcome<Contract = ModelContract | null> {
  /** What the model turned out to be; null where none was loaded. */
  readonly contract: Contract;
  readonly failed: readonly FailedUnit[];
  /** Texts worked on in this call (not those that were done before). */
  readonly rowCount: number;
  /** From the first unit sent to the last result, without loading the model. */
  readonly seconds: number;
}

export interface WorkerPool {
  readonly size: number;
  /** Loads the model in every worker and says what it turned out to be. */
  describe(model: ModelSpec): Promise<ModelContract>;
  encode(job: EncodeJob): Promise<JobOutcome>;
  search(job: SearchJob): Promise<JobOutcome>;
  /** Tries batch sizes on one worker; the best one comes first. */
  probe(job: ProbeJob): Promise<readonly ProbedSize[]>;
  /** Loads the cross-encoder in every worker and says what it turned out to be. */
  describeCrossEncoder(model: CrossEncoderSpec): Promise<CrossEncoderContract>;
  score(job: ScoreJob): Promise<JobOutcome<CrossEncoderContract>>;
  /** Drains, waits, kills what does not leave; nothing is left running afterwards. */
  close(): Promise<void>;
}
