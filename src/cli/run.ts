/** `quarry run`: everything an experiment asks for, in order. */
import { type VerbCommand, verbCommand } from "./verb.js";

/** Makes the command; `setStatus` takes the exit status. */
export function runCommand(setStatus: (status: number) => void): VerbCommand {
  return verbCommand(
    "run",
    "Do everything an experiment asks for, in order.",
    [
      "steps",
      "model.checkpoint",
      "train.args.maxSteps",
      "train.args.learningRate",
      "train.globalBatchSize",
      "train.loss.name",
      "evaluate.measures",
      "workers.count",
      "runDir",
      "seed",
    ],
    setStatus,
  );
}
