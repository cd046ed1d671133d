/** A sample of texts in, batch sizes out, the fastest one first. */
import type { ProbedSize, ProbeJob, UnitList } from "../types.js";
import type { Assignment } from "./assignment.js";

export function probing(job: ProbeJob, onProbed: (sizes: readonly ProbedSize[]) => void): Assignment {
  const { model, side, maxBatchSize, frame, rowCount } = job;
  const units: UnitList = {
    count: 1,
    id: () => "sample",
    rowCount: () => rowCount,
    rows: () => new Int32Array(0),
    frame: () => frame,
  };
  return {
    kind: "encode",
    phase: null,
    checkpoint: model.checkpoint,
    units,
    signal: job.signal,
    task: () => ({ kind: "probe", model, side, maxBatchSize }),
    equipment: () => [],
    contractOf: ({ model: contract }) => contract,
    read: ({ message }) => (message.type === "probed" ? { save: async () => onProbed(message.sizes) } : null),
  };
}
