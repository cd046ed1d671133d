/** Texts in, vectors out. */
import { protocolError } from "../../protocol/scan.js";
import { toBytes, toFloat32 } from "../../protocol/tensor.js";
import type { EncodeJob } from "../types.js";
import { type Assignment, checkShape } from "./assignment.js";

export function encoding(job: EncodeJob): Assignment {
  const { model, side, units, vectorDtype: dtype = "float32" } = job;
  return {
    kind: "encode",
    phase: job.phase,
    checkpoint: model.checkpoint,
    units,
    isDone: job.isDone,
    signal: job.signal,
    task: (batchSize) => ({
      kind: "encode",
      model,
      side,
      batchSize: job.batchSize ?? batchSize,
      vectorDtype: dtype,
    }),
    equipment: () => [],
    contractOf: ({ model: contract }) => contract,
    read: ({ message, frames }, unit, contract) => {
      if (message.type !== "result") return null;
      const dimension = contract !== null && "dimension" in contract ? contract.dimension : 0;
      const rowCount = units.rowCount(unit);
      checkShape(message.tensor, [rowCount, dimension]);
      if (message.tensor.dtype !== dtype) throw protocolError(`vectors of ${message.tensor.dtype}, not ${dtype}`);
      if ((message.scales === null) === (dtype === "int8")) throw protocolError("scales belong to int8 vectors");
      if (message.scales !== null) checkShape(message.scales, [rowCount]);
      const bytes = toBytes(message.tensor, frames);
      const scales = message.scales === null ? null : toFloat32(message.scales, frames);
      return { save: () => job.onVectors(unit, { dtype, dimension, bytes, scales }) };
    },
  };
}
