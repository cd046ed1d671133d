/** One job at work: what its workers are configured with, and how their answers become durable. */
import { QuarryError, toQuarryError } from "../errors.js";
import type {
  CrossEncoderContract,
  DownMessage,
  ModelContract,
  ModelSpec,
  Task,
  TensorSpec,
} from "../protocol/messages.js";
import { protocolError } from "../protocol/scan.js";
import { bytesOf, tensor, toBytes, toFloat32, toInt32 } from "../protocol/tensor.js";
import { PROTOCOL_VERSION } from "../protocol/version.js";
import type { Payload } from "./crew.js";
import { type CrossAssignment, isCross, planKind, scoresOf, scoreTask } from "./score.js";
import type { JobPlan } from "./state.js";
import type {
  EncodeJob,
  FailedUnit,
  JobOutcome,
  ProbedSize,
  ProbeJob,
  SearchJob,
  StoredVectors,
  UnitList,
} from "./types.js";

/** What the pool was asked to do. */
export type Assignment =
  | { readonly kind: "describe"; readonly model: ModelSpec }
  | CrossAssignment
  | ({ readonly kind: "encode" } & EncodeJob)
  | ({ readonly kind: "probe"; readonly onProbed: (sizes: readonly ProbedSize[]) => void } & ProbeJob)
  | ({ readonly kind: "search" } & SearchJob);

/** What an answer holds, checked against the job: ready to be made durable. */
export type Answer =
  | { readonly kind: "probed"; readonly sizes: readonly ProbedSize[] }
  | { readonly kind: "vectors"; readonly vectors: StoredVectors }
  | { readonly kind: "scores"; readonly scores: Float32Array }
  | {
      readonly kind: "snapshot";
      readonly scores: Float32Array;
      readonly rows: Int32Array;
      readonly tracked: Float32Array | null;
    };

/** Query vectors sent in one message: 16 MiB. */
const QUERY_BLOCK_BYTES = 16_777_216;
/** Units between two snapshots when the user does not say: more for bigger snapshots, so that they stay a small cost. */
const SNAPSHOT_UNITS = 16;
const SNAPSHOT_BYTES = 2_097_152;
const MAX_SNAPSHOT_UNITS = 1_000;

const noUnits: UnitList = {
  count: 0,
  id: () => "",
  rowCount: () => 0,
  rows: () => new Int32Array(0),
  frame: () => new Uint8Array(0),
};

function sampleOf({ frame, rowCount }: ProbeJob): UnitList {
  return { count: 1, id: () => "sample", rowCount: () => rowCount, rows: () => new Int32Array(0), frame: () => frame };
}

/** The job at hand: its promise, its contract and its bookkeeping. */
export class Run {
  readonly outcome: Promise<JobOutcome>;
  readonly failed: FailedUnit[] = [];
  /** Rows that a worker named as the cause of a unit's failure. */
  readonly broken = new Map<number, Int32Array>();
  contract: ModelContract | null = null;
  crossEncoder: CrossEncoderContract | null = null;
  isOver = false;
  isStopping = false;
  /** Texts of all units, and of those that need no work. */
  readonly totalRows: number;
  readonly rowsBefore: number;
  #resolve!: (outcome: JobOutcome) => void;
  #reject!: (error: QuarryError) => void;
  readonly #persists = new Set<Promise<void>>();
  readonly #chains = new Map<string, Promise<void>>();
  #firstMs: number | null = null;
  #lastMs = 0;

  constructor(
    readonly assignment: Assignment,
    private readonly defaultBatchSize: number,
  ) {
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever awaits the outcome hears of it; a run that is cut off by close() may have nobody.
    this.outcome.catch(() => {});
    const { units } = this;
    const { isDone } = this.plan(1);
    let [totalRows, rowsBefore] = [0, 0];
    for (let unit = 0; unit < units.count; unit += 1) {
      totalRows += units.rowCount(unit);
      if (isDone(unit)) rowsBefore += units.rowCount(unit);
    }
    this.totalRows = totalRows;
    this.rowsBefore = rowsBefore;
  }

  get units(): UnitList {
    const { assignment } = this;
    if (assignment.kind === "describe" || assignment.kind === "describeCross") return noUnits;
    return assignment.kind === "probe" ? sampleOf(assignment) : assignment.units;
  }

  plan(maxAttempts: number): JobPlan {
    const { assignment, units } = this;
    const isDone = "isDone" in assignment ? assignment.isDone : undefined;
    return {
      kind: planKind(assignment.kind),
      unitCount: units.count,
      rowCount: (unit) => units.rowCount(unit),
      isDone: isDone ?? (() => false),
      maxAttempts,
    };
  }

  task(): Task {
    const { assignment } = this;
    const batchSize = ("batchSize" in assignment ? assignment.batchSize : undefined) ?? this.defaultBatchSize;
    if (isCross(assignment)) return scoreTask(assignment, batchSize);
    if (assignment.kind === "probe") {
      const { model, side, maxBatchSize } = assignment;
      return { kind: "probe", model, side, maxBatchSize };
    }
    if (assignment.kind === "describe") {
      return { kind: "encode", model: assignment.model, side: "passage", batchSize, vectorDtype: "float32" };
    }
    const vectorDtype = assignment.vectorDtype ?? "float32";
    if (assignment.kind === "encode") {
      const { model, side } = assignment;
      return { kind: "encode", model, side, batchSize, vectorDtype };
    }
    const { model, topK, queryCount, dimension, tracked } = assignment;
    const adapted = SNAPSHOT_UNITS * Math.ceil((queryCount * topK * 8) / SNAPSHOT_BYTES);
    const snapshotEveryUnits = Math.min(MAX_SNAPSHOT_UNITS, assignment.snapshotEveryUnits ?? Math.max(1, adapted));
    const { similarity, isNormalizing } = assignment;
    return {
      kind: "search",
      model,
      input: model === null ? "vectors" : "texts",
      vectorDtype,
      scoring: { similarity, isNormalizing, plugins: [...(assignment.plugins ?? model?.plugins ?? [])] },
      trackedCount: tracked?.rows.length ?? 0,
      batchSize,
      topK,
      queryCount,
      dimension,
      snapshotEveryUnits,
    };
  }

  /** What a worker that is ready needs before its first unit: query vectors and tracked pairs; nothing for other jobs. */
  *equipment(): Generator<{ readonly message: DownMessage; readonly frames: readonly Uint8Array[] }> {
    const { assignment } = this;
    if (assignment.kind !== "search") return;
    const { queries, queryCount, dimension, tracked } = assignment;
    const size = Math.max(1, Math.floor(QUERY_BLOCK_BYTES / (4 * Math.max(1, dimension))));
    for (let firstRow = 0; firstRow < queryCount; firstRow += size) {
      const rows = Math.min(size, queryCount - firstRow);
      const block = queries.subarray(firstRow * dimension, (firstRow + rows) * dimension);
      const message = { v: PROTOCOL_VERSION, type: "queries", firstRow } as const;
      yield { message: { ...message, tensor: tensor("float32", [rows, dimension], 1) }, frames: [bytesOf(block)] };
    }
    if (tracked === undefined || tracked.rows.length === 0) return;
    const shape = [tracked.rows.length];
    yield {
      message: {
        v: PROTOCOL_VERSION,
        type: "tracked",
        queries: tensor("int32", shape, 1),
        rows: tensor("int32", shape, 2),
      },
      frames: [bytesOf(tracked.queries), bytesOf(tracked.rows)],
    };
  }

  /**
   * Takes what a worker says its model is; all must say the same, or vectors would depend on who made them.
   *
   * @throws QuarryError PROTOCOL without a contract, CONFIG when two workers differ.
   */
  accept(worker: string, model: ModelContract | null, crossEncoder: CrossEncoderContract | null): void {
    const isScoring = isCross(this.assignment);
    const contract = isScoring ? crossEncoder : model;
    if (contract === null) {
      if (this.#isModelless) return;
      throw protocolError("a worker is ready without a model");
    }
    if (isScoring) this.crossEncoder ??= crossEncoder;
    else this.contract ??= model;
    const known = (isScoring ? this.crossEncoder : this.contract) ?? contract;
    if (known.fingerprint === contract.fingerprint) return;
    throw new QuarryError("CONFIG", `${worker} has another model than the others: ${differences(known, contract)}.`, {
      hint: "Set model.dtype, so that every device works with the same numbers.",
    });
  }

  /** Notes the moment a unit was sent or answered, for the seconds of the outcome. */
  mark(nowMs: number): void {
    this.#firstMs ??= nowMs;
    this.#lastMs = nowMs;
  }

  /**
   * Reads what a `result` or `snapshot` holds; null when the job has no use for it.
   *
   * @throws QuarryError PROTOCOL when it has another shape than the work.
   */
  read({ message, frames }: Payload, unit: number): Answer | null {
    const { assignment } = this;
    if (assignment.kind === "probe" && message.type === "probed") return { kind: "probed", sizes: message.sizes };
    if (assignment.kind === "encode" && message.type === "result") {
      const dimension = this.contract?.dimension ?? 0;
      const rowCount = assignment.units.rowCount(unit);
      const dtype = assignment.vectorDtype ?? "float32";
      checkShape(message.tensor, [rowCount, dimension]);
      if (message.tensor.dtype !== dtype) throw protocolError(`vectors of ${message.tensor.dtype}, not ${dtype}`);
      const bytes = toBytes(message.tensor, frames);
      if ((message.scales === null) === (dtype === "int8")) throw protocolError("scales belong to int8 vectors");
      if (message.scales !== null) checkShape(message.scales, [rowCount]);
      const scales = message.scales === null ? null : toFloat32(message.scales, frames);
      return { kind: "vectors", vectors: { dtype, dimension, bytes, scales } };
    }
    if (assignment.kind === "score" && message.type === "result") {
      checkShape(message.tensor, [assignment.units.rowCount(unit)]);
      return { kind: "scores", scores: scoresOf(message.tensor, frames) };
    }
    if (assignment.kind === "search" && message.type === "snapshot") {
      const shape = [assignment.queryCount, assignment.topK];
      checkShape(message.scores, shape);
      checkShape(message.rows, shape);
      const trackedCount = assignment.tracked?.rows.length ?? 0;
      if ((message.tracked === null) === trackedCount > 0) throw protocolError("a snapshot of other tracked pairs");
      if (message.tracked !== null) checkShape(message.tracked, [trackedCount]);
      const tracked = message.tracked === null ? null : toFloat32(message.tracked, frames);
      const scores = toFloat32(message.scores, frames);
      return { kind: "snapshot", scores, rows: toInt32(message.rows, frames), tracked };
    }
    return null;
  }

  /** Hands a unit's vectors, or a session's snapshot of these units after its earlier one, to the job. */
  persist(session: string, units: readonly number[], answer: Answer | null): Promise<void> {
    const { assignment } = this;
    const [unit] = units;
    if (assignment.kind === "encode" && answer?.kind === "vectors" && unit !== undefined) {
      return this.#track(async () => assignment.onVectors(unit, answer.vectors));
    }
    if (assignment.kind === "score" && answer?.kind === "scores" && unit !== undefined) {
      return this.#track(async () => assignment.onScores(unit, answer.scores));
    }
    if (assignment.kind === "probe" && answer?.kind === "probed") {
      return this.#track(async () => assignment.onProbed(answer.sizes));
    }
    if (assignment.kind === "search" && answer?.kind === "snapshot") {
      const { scores, rows, tracked } = answer;
      const earlier = this.#chains.get(session) ?? Promise.resolve();
      const saved = this.#track(async () => {
        await earlier;
        await assignment.onSnapshot({ session, units, scores, rows, tracked });
      });
      this.#chains.set(session, saved);
      return saved;
    }
    return Promise.reject(new QuarryError("INTERNAL", "An answer fits no job."));
  }

  /** Ends the run once nothing of it is being written any more; further calls do nothing. */
  async end(rowCount: number, error: QuarryError | null): Promise<void> {
    if (this.isOver) return;
    this.isOver = true;
    await Promise.allSettled(this.#persists);
    const seconds = this.#firstMs === null ? 0 : (this.#lastMs - this.#firstMs) / 1_000;
    if (error !== null) this.#reject(error);
    else if (this.contract === null && this.crossEncoder === null && !this.#isModelless)
      this.#reject(new QuarryError("INTERNAL", "A job ended without a model."));
    else {
      const { contract, crossEncoder, failed } = this;
      this.#resolve({ contract, crossEncoder, failed, rowCount, seconds });
    }
  }

  /** A search over stored vectors needs no model. */
  get #isModelless(): boolean {
    return this.assignment.model === null;
  }

  #track(save: () => Promise<void>): Promise<void> {
    const saved = save().catch((thrown: unknown) => {
      throw toQuarryError(thrown);
    });
    this.#persists.add(saved);
    const forget = (): void => void this.#persists.delete(saved);
    saved.then(forget, forget);
    return saved;
  }
}

function checkShape(spec: TensorSpec, shape: readonly number[]): void {
  if (spec.shape.length === shape.length && spec.shape.every((side, index) => side === shape[index])) return;
  throw protocolError(`a tensor [${spec.shape.join(", ")}] stands where [${shape.join(", ")}] belongs`);
}

/** The contract that a job of describing ends with. */
export function described<Contract>(contract: Contract | null): Contract {
  if (contract === null) throw new QuarryError("INTERNAL", "A model was described by nobody.");
  return contract;
}

export function interrupted(): QuarryError {
  return new QuarryError("INTERRUPTED", "Stopped on request.");
}

function differences(left: object, right: object): string {
  const others = new Map<string, unknown>(Object.entries(right));
  const told = Object.entries(left)
    .filter(([key, value]) => others.get(key) !== value)
    .map(([key, value]) => `${key} ${JSON.stringify(value)} and ${JSON.stringify(others.get(key))}`);
  return told.join(", ").slice(0, 1_000);
}
