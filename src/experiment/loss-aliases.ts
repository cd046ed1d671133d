/** Losses under the names that sentence-transformers has for them become Quarry's own, with their options. */
import { camelCase, LOSS_ALIASES } from "./aliases.js";
import { isPlainObject, type Problem, shown } from "./explain.js";
import { LOSSES } from "./losses.generated.js";

type Options = Record<string, unknown>;

/**
 * A loss in Quarry's own names. What stands for a factor on the similarities (`scale`) becomes 1 / temperature.
 *
 * @param path of the loss, for problems
 */
export function ownLoss(value: Options, path: readonly string[], problems: Problem[]): Options {
  if (value["name"] === "MatryoshkaLoss") return matryoshka(value, path, problems);
  const alias = typeof value["name"] === "string" ? LOSS_ALIASES[value["name"]] : undefined;
  if (alias === undefined) return value;
  const own: Options = { ...alias.defaults };
  for (const [written, option] of Object.entries(value)) {
    const name = camelCase(written);
    own[alias.rename?.[name] ?? name] = option;
  }
  own["name"] = alias.name;
  if (typeof own["distance"] === "string") own["distance"] = own["distance"].split(".").at(-1)?.toLowerCase();
  if (alias.defaultScale !== undefined) unscale(own, alias.defaultScale, path, problems);
  return value["name"] === "DistillKLDivLoss" ? distill(own) : own;
}

/** miniBatchSize beside a loss, as sentence-transformers has it, is an option of the training here: any loss may have it. */
export function hoistMiniBatch(train: Options, problems: Problem[]): Options {
  const losses = Array.isArray(train["loss"]) ? train["loss"] : [train["loss"]];
  let miniBatchSize = train["miniBatchSize"];
  const kept = losses.map((loss: unknown, index) => {
    if (!isPlainObject(loss)) return loss;
    const { miniBatchSize: own, mini_batch_size: snake, ...others } = loss;
    const name = typeof loss["name"] === "string" ? loss["name"] : "infonce";
    const found = own ?? snake;
    // A plugin's loss may have an option of this name.
    if (found === undefined || !Object.hasOwn(LOSSES, name)) return loss;
    if (miniBatchSize !== undefined && miniBatchSize !== found) {
      const path = ["train", "loss", ...(Array.isArray(train["loss"]) ? [String(index)] : []), "miniBatchSize"];
      problems.push({ path, message: "says something else than train.miniBatchSize; keep one of them" });
    }
    miniBatchSize ??= found;
    return others;
  });
  if (miniBatchSize === undefined) return train;
  return { ...train, loss: Array.isArray(train["loss"]) ? kept : kept[0], miniBatchSize };
}

/**
 * An option that takes the place of a loss's, in Quarry's own names.
 *
 * @param loss as the script has it, or as the command line names it
 * @returns what the option says, or in words what is wrong with it
 */
export function ownLossOption(
  loss: unknown,
  option: string,
  value: unknown,
): readonly [name: string, unknown] | string {
  const { name, loss: inner } = isPlainObject(loss) ? loss : {};
  if (name === "MatryoshkaLoss") return ownLossOption(inner, option, value);
  const alias = typeof name === "string" ? LOSS_ALIASES[name] : undefined;
  const written = camelCase(option);
  if (alias?.defaultScale === undefined || written !== "scale") return [alias?.rename?.[written] ?? option, value];
  return isFactor(value) ? ["temperature", 1 / value] : noFactor(value);
}

/** `scale` multiplies the similarities. */
function unscale(own: Options, defaultScale: number | null, path: readonly string[], problems: Problem[]): void {
  const { scale, temperature } = own;
  delete own["scale"];
  const factor = scale ?? (temperature === undefined ? defaultScale : null);
  if (factor === null) return;
  const say = (message: string): void => {
    problems.push({ path: [...path, "scale"], message });
  };
  if (!isFactor(factor)) say(noFactor(factor));
  else if (typeof temperature === "number" && Math.abs(temperature * factor - 1) > 1e-9)
    say(`is 1 / temperature, and ${factor} says something else than a temperature of ${temperature}; keep one of them`);
  else own["temperature"] ??= 1 / factor;
}

function isFactor(value: unknown): value is number {
  return typeof value === "number" && value > 0;
}

function noFactor(value: unknown): string {
  return `expected a number above 0, saw ${shown(value)}`;
}

/** Both temperatures default to one, and the loss is multiplied by the square of the student's. */
function distill(own: Options): Options {
  const { studentTemperature, teacherTemperature, temperature = 1, ...others } = own;
  const student = studentTemperature ?? temperature;
  const weight = typeof student === "number" ? { weight: Number(others["weight"] ?? 1) * student ** 2 } : {};
  return { ...others, temperature: student, labelTemperature: teacherTemperature ?? temperature, ...weight };
}

/** MatryoshkaLoss stands around another loss. */
function matryoshka(value: Options, path: readonly string[], problems: Problem[]): Options {
  const options = Object.fromEntries(Object.entries(value).map(([name, option]) => [camelCase(name), option]));
  const { name: _name, loss, matryoshkaDims, matryoshkaWeights, ...others } = options;
  const inner = isPlainObject(loss) ? ownLoss(loss, [...path, "loss"], problems) : {};
  const weights = matryoshkaWeights === undefined ? {} : { weights: matryoshkaWeights };
  const own: Options = { ...inner, ...others, matryoshka: { dimensions: matryoshkaDims, ...weights } };
  // The inner one may be part of its loss: the factor τ² of DistillKLDivLoss.
  const [within, around] = [inner["weight"], others["weight"]];
  if (typeof within === "number" && typeof around === "number") own["weight"] = within * around;
  return own;
}
