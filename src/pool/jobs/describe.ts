/** Loading a model in every worker, to hear what it turned out to be. */
import type { CrossEncoderSpec, ModelSpec } from "../../protocol/messages.js";
import { type Assignment, noUnits } from "./assignment.js";

/** Asks what an encoder is. */
export function describing(model: ModelSpec): Assignment {
  return {
    ...asking(model.checkpoint),
    task: (batchSize) => ({ kind: "encode", model, side: "passage", batchSize, vectorDtype: "float32" }),
    contractOf: ({ model: contract }) => contract,
  };
}

/** Asks what a cross-encoder is. */
export function describingCrossEncoder(model: CrossEncoderSpec): Assignment {
  return {
    ...asking(model.checkpoint),
    task: (batchSize) => ({ kind: "score", model, batchSize }),
    contractOf: ({ crossEncoder }) => crossEncoder,
  };
}

function asking(checkpoint: string): Omit<Assignment, "task" | "contractOf"> {
  return { kind: "describe", phase: null, checkpoint, units: noUnits, equipment: () => [], read: () => null };
}
