/** A sample of texts or pairs in, batch sizes out, the fastest one first. */
import type { ProbedSize, ProbeJob, UnitList } from "../types.js";
import type { Assignment } from "./assignment.js";

export function probing(job: ProbeJob, onProbed: (sizes: readonly ProbedSize[]) => void): Assignment {
  const { probed, maxBatchSize, frame, rowCount } = job;
  const isCross = "crossEncoder" in probed;
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
    checkpoint: (isCross ? probed.crossEncoder : probed.model).checkpoint,
    units,
    signal: job.signal,
    task: () =>
      isCross
        ? { kind: "probeScore", model: probed.crossEncoder, maxBatchSize }
        : { kind: "probe", ...probed, maxBatchSize },
    equipment: () => [],
    contractOf: ({ model, crossEncoder }) => (isCross ? crossEncoder : model),
    read: ({ message }) => (message.type === "probed" ? { save: async () => onProbed(message.sizes) } : null),
  };
}
