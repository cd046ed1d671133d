/** What every kind of job tells the pool: its task, its units, and how answers are read; one file beside this for each. */
import type {
  CrossEncoderContract,
  DownMessage,
  ModelContract,
  Task,
  TensorSpec,
  Unversioned,
} from "../../protocol/messages.js";
import { protocolError } from "../../protocol/scan.js";
import type { Payload } from "../crew.js";
import type { JobPlan } from "../state.js";
import type { UnitList } from "../types.js";

/** What a worker loaded: an encoder or a cross-encoder. */
export type Contract = ModelContract | CrossEncoderContract;

/** An answer that was checked against the job, ready to be made durable. */
export interface Answer {
  /** Durable when the promise resolves; `units` are all that the answer covers. */
  save(session: string, units: readonly number[]): Promise<void>;
}

/** A message for a worker with its binary frames. */
export interface Equipment {
  readonly message: Unversioned<DownMessage>;
  readonly frames: readonly Uint8Array[];
}

/** A job as the pool's shell sees it. */
export interface Assignment {
  readonly kind: JobPlan["kind"];
  /** Under which progress is told; null for what is no work of the user's. */
  readonly phase: string | null;
  /** The model by its checkpoint; null where none is loaded. */
  readonly checkpoint: string | null;
  readonly units: UnitList;
  readonly isDone?: ((index: number) => boolean) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Of the largest answer, where answers are large. */
  readonly answerBytes?: number;
  /** What workers are configured with; `batchSize` is the pool's own. */
  task(batchSize: number): Task;
  /** What a worker that is ready needs before its first unit. */
  equipment(): Iterable<Equipment>;
  /** The contract that belongs to this kind of model. */
  contractOf(ready: {
    readonly model: ModelContract | null;
    readonly crossEncoder: CrossEncoderContract | null;
  }): Contract | null;
  /**
   * Reads an answer; null when the job has no use for such a message.
   *
   * @param unit number of the unit, -1 for a snapshot
   * @throws QuarryError PROTOCOL when it has another shape than the work
   */
  read(payload: Payload, unit: number, contract: Contract | null): Answer | null;
}

export const noUnits: UnitList = {
  count: 0,
  id: () => "",
  rowCount: () => 0,
  rows: () => new Int32Array(0),
  frame: () => new Uint8Array(0),
};

/** @throws QuarryError PROTOCOL for a tensor of another shape. */
export function checkShape(spec: TensorSpec, shape: readonly number[]): void {
  if (spec.shape.length === shape.length && spec.shape.every((side, index) => side === shape[index])) return;
  throw protocolError(`a tensor [${spec.shape.join(", ")}] stands where [${shape.join(", ")}] belongs`);
}
