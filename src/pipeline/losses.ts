/** The losses of an experiment as they travel to the ranks, for the parts of the training data that there are. */
import type { TrainingSet } from "../data/types.js";
import { QuarryError } from "../errors.js";
import { lossesOf } from "../experiment/losses.js";
import type { LossConfig, TrainConfig } from "../experiment/schema.js";
import { nearest } from "../nearest.js";
import type { LossSpec } from "../protocol/messages.js";

/** Of a name on the wire. */
const NAME_LENGTH = 256;

/**
 * What is minimised, and what the parts of the data are called, in the order of their numbers.
 *
 * @throws CONFIG for sources that the data does not have; the opened set alone knows what its parts are called
 */
export function lossSpecs(
  options: Pick<TrainConfig, "loss">,
  set: Pick<TrainingSet, "partCount" | "partName">,
): { readonly losses: LossSpec[]; readonly sources: string[] } {
  const sources = Array.from(
    { length: set.partCount },
    (_, part) => set.partName(part).slice(0, NAME_LENGTH) || `part ${part + 1}`,
  );
  return { losses: lossesOf(options).map((loss) => toSpec(loss, sources)), sources };
}

function toSpec(loss: LossConfig, known: readonly string[]): LossSpec {
  const { name, weight = 1, sources = [], matryoshka, ...options } = loss;
  const unknown = sources.find((source) => !known.includes(source));
  if (unknown !== undefined) {
    const near = nearest(unknown, known);
    const wayOut =
      near === null ? `There ${known.length === 1 ? "is" : "are"} ${known.join(", ")}` : `Did you mean ${near}?`;
    throw new QuarryError(
      "CONFIG",
      `train.loss: ${name} is for the source ${JSON.stringify(unknown)}, which train.data does not have.`,
      { hint: `${wayOut} Parts of a mix can have names: { name, data }.` },
    );
  }
  const cut = matryoshka === undefined ? null : { ...matryoshka, weights: matryoshka.weights ?? [] };
  return { name, weight, sources, options, matryoshka: cut };
}
