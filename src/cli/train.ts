/** `quarry train`: trains the model. */
import { type VerbCommand, verbCommand } from "./verb.js";

/** Makes the command; `setStatus` takes the exit status. */
export function trainCommand(setStatus: (status: number) => void): VerbCommand {
  return verbCommand(
    "train",
    "Train the model, or go on with it.",
    [
      "train.args.maxSteps",
      "train.args.learningRate",
      "train.args.saveSteps",
      "train.globalBatchSize",
      "train.queriesPerRank",
      "train.loss.name",
      "train.ranks",
      "train.dropout",
      "model.checkpoint",
      "runDir",
      "seed",
    ],
    setStatus,
  );
}
