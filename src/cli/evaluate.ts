/** `quarry evaluate`: searches and measures. */
import { type VerbCommand, verbCommand } from "./verb.js";

/** Makes the command; `setStatus` takes the exit status. */
export function evaluateCommand(setStatus: (status: number) => void): VerbCommand {
  return verbCommand(
    "evaluate",
    "Search for the evaluation queries; measure.",
    [
      "model.checkpoint",
      "model.dtype",
      "evaluate.measures",
      "evaluate.topK",
      "workers.count",
      "workers.device",
      "workers.batchSize",
      "runDir",
    ],
    setStatus,
  );
}
