/** `quarry mine`: mines hard negatives. */
import { type VerbCommand, verbCommand } from "./verb.js";

/** Makes the command; `setStatus` takes the exit status. */
export function mineCommand(setStatus: (status: number) => void): VerbCommand {
  return verbCommand(
    "mine",
    "Find hard negatives.",
    [
      "mine.topK",
      "mine.rangeMin",
      "mine.relativeMargin",
      "mine.negativesPerQuery",
      "model.checkpoint",
      "workers.count",
      "workers.device",
      "runDir",
    ],
    setStatus,
  );
}
