/** Pairs of query and passage in, scores out. */
import { protocolError } from "../../protocol/scan.js";
import { toFloat32 } from "../../protocol/tensor.js";
import type { ScoreJob } from "../types.js";
import { type Assignment, checkShape } from "./assignment.js";

export function scoring(job: ScoreJob): Assignment {
  const { model, units } = job;
  return {
    kind: "encode",
    phase: job.phase,
    checkpoint: model.checkpoint,
    units,
    isDone: job.isDone,
    signal: job.signal,
    task: (batchSize) => ({ kind: "score", model, batchSize: job.batchSize ?? batchSize }),
    equipment: () => [],
    contractOf: ({ crossEncoder }) => crossEncoder,
    read: ({ message, frames }, unit) => {
      if (message.type !== "result") return null;
      checkShape(message.tensor, [units.rowCount(unit)]);
      const scores = toFloat32(message.tensor, frames);
      // NaN would be ranked first by some readers of run files, last by others.
      if (!scores.every(Number.isFinite)) throw protocolError("a score is NaN or infinite");
      return { save: () => job.onScores(unit, scores) };
    },
  };
}
