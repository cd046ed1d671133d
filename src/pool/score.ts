/** What scoring pairs asks of the pool beside what encoding does: another kind of model, scores for vectors. */
import type { CrossEncoderSpec, Task, TensorSpec } from "../protocol/messages.js";
import { protocolError } from "../protocol/scan.js";
import { toFloat32 } from "../protocol/tensor.js";
import type { Assignment } from "./run.js";
import type { JobPlan } from "./state.js";
import type { ScoreJob } from "./types.js";

/** What a pool may be asked to do with a cross-encoder. */
export type CrossAssignment =
  | { readonly kind: "describeCross"; readonly model: CrossEncoderSpec }
  | ({ readonly kind: "score" } & ScoreJob);

export function isCross(assignment: { readonly kind: string }): assignment is CrossAssignment {
  return assignment.kind === "score" || assignment.kind === "describeCross";
}

/** The job as the pool's logic sees it: a unit of scores is answered and made durable as one of vectors is. */
export function planKind(kind: Assignment["kind"]): JobPlan["kind"] {
  if (kind === "score" || kind === "probe") return "encode";
  return kind === "describeCross" ? "describe" : kind;
}

export function scoreTask({ model }: CrossAssignment, batchSize: number): Task {
  return { kind: "score", model, batchSize };
}

/**
 * The scores of a unit.
 *
 * @throws QuarryError PROTOCOL for anything but numbers: NaN would be ranked first by some readers of run files, last by
 *   others.
 */
export function scoresOf(spec: TensorSpec, frames: readonly Uint8Array[]): Float32Array {
  const scores = toFloat32(spec, frames);
  if (!scores.every(Number.isFinite)) throw protocolError("a score is NaN or infinite");
  return scores;
}
