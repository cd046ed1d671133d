/** Checks losses and their options against what the Python runtime registers, so that a wrong one is answered before Python starts. */
import { z } from "zod";
import { counted } from "../counted.js";
import { nearest } from "../nearest.js";
import { camelCase, LOSS_ALIASES } from "./aliases.js";
import { expected, type Problem, shown } from "./explain.js";
import { LOSSES, OF_OWN_PASSAGES } from "./losses.generated.js";
import { unknownName } from "./plugin-checks.js";
import { type LossConfig, lossSchema, type TrainConfig, type TrainingDataConfig } from "./schema.js";
import { alternatives } from "./shape.js";

/** What an option takes, as JSON Schema has it. */
export interface OptionSchema {
  readonly type?: string;
  readonly enum?: readonly (string | number)[];
  readonly anyOf?: readonly OptionSchema[];
  readonly items?: OptionSchema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

/** By the loss's name, then by the option's. */
export type LossTable = Readonly<Record<string, Readonly<Record<string, OptionSchema>>>>;

/** The losses of an experiment, whether one was written or a list. */
export function lossesOf(train: Pick<TrainConfig, "loss">): readonly LossConfig[] {
  return Array.isArray(train.loss) ? train.loss : [train.loss];
}

/**
 * What is wrong with the names and options of losses, and which can learn nothing from groups of this size. A name that
 * is not in the table is a plugin's business, when there are plugins; a plugin cannot take a name of the table.
 */
export function checkLosses(train: TrainConfig, hasPlugins: boolean): Problem[] {
  const isList = Array.isArray(train.loss);
  return lossesOf(train).flatMap((loss, index) => {
    const place = isList ? ["train", "loss", String(index)] : ["train", "loss"];
    const problems = [...checkLoss(loss, hasPlugins), ...checkGroups(loss, train)];
    return problems.map(({ path, message }) => ({ path: [...place, ...path], message }));
  });
}

/** A query's only passage has nothing to be compared with: such a loss is 0, whatever the model says. */
function checkGroups(loss: LossConfig, { data, retriever }: TrainConfig): Problem[] {
  const { name, weight: _weight, sources: _sources, matryoshka: _matryoshka, ...options } = loss;
  const conditions = Object.hasOwn(OF_OWN_PASSAGES, name) ? OF_OWN_PASSAGES[name] : undefined;
  // A plugin's retriever makes of the batch and the loss what it likes.
  if (conditions === undefined || retriever !== undefined || !hasSinglePassages(data)) return [];
  const given = new Map(Object.entries(options).map(([written, value]) => [camelCase(written), value]));
  if (!Object.entries(conditions).every(([option, value]) => given.get(option) === value)) return [];
  const [option] = Object.keys(conditions);
  const who = option === undefined ? name : `${name} with ${option}: ${conditions[option]}`;
  const instead = option === undefined ? "take infonce" : `leave ${option} out`;
  const wayOut = `give negatives (negativesPerQuery, of multiLevel passagesPerQuery), or ${instead}`;
  const why = "compares a query's own passages, and train.data gives each query only one";
  return [{ path: [], message: `${who} ${why}: it would be 0 at every step; ${wayOut}` }];
}

/** Whether groups hold one passage; those of a mix are of one size. */
function hasSinglePassages(data: TrainingDataConfig): boolean {
  if (data.kind === "mix") return data.parts.some((part) => hasSinglePassages(part.data));
  return (data.kind === "multiLevel" ? data.passagesPerQuery : 1 + data.negativesPerQuery) === 1;
}

function checkLoss(loss: LossConfig, hasPlugins: boolean): Problem[] {
  const { name, weight: _weight, sources: _sources, matryoshka, ...options } = loss;
  const known = Object.hasOwn(LOSSES, name) ? LOSSES[name] : undefined;
  const problems: Problem[] = [];
  if (matryoshka?.weights !== undefined && matryoshka.weights.length !== matryoshka.dimensions.length) {
    const { dimensions, weights } = matryoshka;
    const message = `has ${counted(weights.length, "weights")} for ${counted(dimensions.length, "dimensions")}; give one for each`;
    problems.push({ path: ["matryoshka", "weights"], message });
  }
  if (known === undefined) return hasPlugins ? problems : [{ path: ["name"], message: unknownLoss(name) }, ...problems];
  for (const [written, value] of Object.entries(options)) {
    const option = camelCase(written);
    const schema = Object.hasOwn(known, option) ? known[option] : undefined;
    if (schema === undefined) problems.push({ path: [written], message: unknownOption(name, written, known) });
    else if (!toZod(schema).safeParse(value).success)
      problems.push({
        path: [written],
        message: `expected ${expected(alternatives(toZod(schema)))}, saw ${shown(value)}`,
      });
  }
  return problems;
}

/** @throws RangeError for a construct that no loss of the table has. */
function toZod(schema: OptionSchema): z.ZodType {
  if (schema.enum !== undefined) return z.literal([...schema.enum]);
  if (schema.anyOf !== undefined) return z.union(schema.anyOf.map(toZod));
  switch (schema.type) {
    case "number":
    case "integer": {
      let number = schema.type === "integer" ? z.int() : z.number();
      if (schema.minimum !== undefined) number = number.gte(schema.minimum);
      if (schema.exclusiveMinimum !== undefined) number = number.gt(schema.exclusiveMinimum);
      if (schema.maximum !== undefined) number = number.lte(schema.maximum);
      if (schema.exclusiveMaximum !== undefined) number = number.lt(schema.exclusiveMaximum);
      return number;
    }
    case "boolean":
      return z.boolean();
    case "string":
      return z.string();
    case "array":
      return z.array(toZod(schema.items ?? {}));
    default:
      throw new RangeError(`no check for ${JSON.stringify(schema)}`);
  }
}

function unknownLoss(name: string): string {
  const known = Object.keys(LOSSES);
  return unknownName("loss", name, known, [...known, ...Object.keys(LOSS_ALIASES)]);
}

function unknownOption(loss: string, option: string, known: LossTable[string]): string {
  const names = [...Object.keys(known), ...Object.keys(lossSchema.shape).filter((name) => name !== "name")];
  const near = nearest(option, names);
  return `${loss} has no such option; ${near === null ? `there are ${names.join(", ")}` : `did you mean ${near}?`}`;
}
