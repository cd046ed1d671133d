/** `quarry encode`: turns texts into vectors. */
import { type VerbCommand, verbCommand } from "./verb.js";

/** Makes the command; `setStatus` takes the exit status. */
export function encodeCommand(setStatus: (status: number) => void): VerbCommand {
  return verbCommand(
    "encode",
    "Turn passages or queries into vectors.",
    [
      "encode.side",
      "embeddings.dtype",
      "model.checkpoint",
      "model.dtype",
      "workers.count",
      "workers.device",
      "workers.batchSize",
      "runDir",
    ],
    setStatus,
    [
      {
        flags: "--export <format>",
        description: "npy, parquet, faiss or none: encode.export for short",
        path: "encode.export",
      },
    ],
  );
}
