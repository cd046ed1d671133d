/** The losses that come with Quarry and the options of each, so that a wrong one is answered before Python starts. */
import { camelCase } from "./aliases.js";
import { type Problem, shown } from "./explain.js";
import { nearest } from "./nearest.js";
import type { TrainConfig } from "./schema.js";

/** Options by loss, named as in Python; each takes a number above 0. A test compares them with the runtime's registry. */
export const LOSSES: Readonly<Record<string, readonly string[]>> = {
  infonce: ["temperature"],
  MultipleNegativesRankingLoss: ["scale"],
  kl: ["temperature", "label_temperature"],
};

/**
 * What is wrong with a loss's name and options. A name that is not in the table is a plugin's business, when there are
 * plugins; a plugin cannot take a name of the table.
 */
export function checkLoss(loss: TrainConfig["loss"], hasPlugins: boolean): Problem[] {
  const { name, ...options } = loss;
  const known = Object.hasOwn(LOSSES, name) ? LOSSES[name] : undefined;
  if (known === undefined) return hasPlugins ? [] : [{ path: ["train", "loss", "name"], message: unknownLoss(name) }];
  return Object.entries(options).flatMap(([option, value]): Problem[] => {
    const path = ["train", "loss", option];
    if (!known.includes(snakeCase(option))) return [{ path, message: unknownOption(name, option, known) }];
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return [];
    return [{ path, message: `expected a number above 0, saw ${shown(value)}` }];
  });
}

function unknownLoss(name: string): string {
  const names = Object.keys(LOSSES);
  const near = nearest(name, names);
  const wayOut =
    near === null
      ? `there are ${names.join(", ")}, and others once a Python file of model.plugins registers them`
      : `did you mean ${near}?`;
  return `no loss is called ${JSON.stringify(name)}; ${wayOut}`;
}

function unknownOption(loss: string, option: string, known: readonly string[]): string {
  const names = known.map(camelCase);
  const near = nearest(option, names);
  return `${loss} has no such option; ${near === null ? `there is ${names.join(" and ")}` : `did you mean ${near}?`}`;
}

/** As the Python registry reads names: `labelTemperature` is `label_temperature`. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
