/** What is said of an experiment that is refused. */
import { QuarryError } from "../../../src/errors.js";
import { biEncoder, parseExperiment } from "../../../src/experiment/define.js";

const model = biEncoder("some/model");

/** What refuses an experiment. */
export function failure(input: unknown): QuarryError {
  try {
    parseExperiment(input);
  } catch (thrown) {
    if (thrown instanceof QuarryError) return thrown;
    throw thrown;
  }
  throw new Error("was accepted");
}

/** Problems of an experiment whose only options beside name and model are these. */
export function problems(options: object): string[] {
  const { message } = failure({ name: "x", model, ...options });
  return message.includes("\n")
    ? message
        .split("\n")
        .slice(1)
        .map((line) => line.trim())
    : [message];
}
