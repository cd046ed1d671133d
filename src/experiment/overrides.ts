/** Options given on the command line: found among the arguments, typed by the schema, put into the experiment's input. */
import { z } from "zod";
import { nearest } from "../nearest.js";
import { refusedByAlias } from "./aliases.js";
import {
  configError,
  expected,
  explainRefused,
  explainUnknown,
  isPlainObject,
  type Problem,
  shown,
  suggest,
  valueAt,
} from "./explain.js";
import { ownLossOption } from "./loss-aliases.js";
import { normalize, ownName } from "./normalize.js";
import { experimentSchema } from "./schema.js";
import { alternatives, child, schemasAt } from "./shape.js";

/** One option that takes the place of the script's. */
export interface Override {
  /** Path with dots, in any spelling the schema knows, e.g. `train.args.maxSteps` or `train.args.max-steps`. */
  readonly path: string;
  /** Text is read as what the schema takes there; anything else is taken as it is. */
  readonly value: unknown;
}

/** Where a loss stands. */
const LOSS = /^train\.loss(\.\d+)?$/;

/** Arguments with the overrides taken out. */
export interface SplitArguments {
  readonly rest: readonly string[];
  readonly overrides: readonly Override[];
}

/**
 * Takes overrides out of command line arguments; flags of the command itself and operands stay.
 *
 * @param flags the command's own long flags, e.g. `--reporter`, and whether each takes a value
 * @param operandCount how many operands the command takes
 * @throws CONFIG for an option that neither the command nor the schema has, with the nearest one, or without its value
 * @example
 * splitArguments(["x.ts", "--train.args.max-steps", "5"], new Map()); // { rest: ["x.ts"], overrides: [{ path: "train.args.maxSteps", value: "5" }] }
 */
export function splitArguments(
  argv: readonly string[],
  flags: ReadonlyMap<string, boolean>,
  operandCount = Number.POSITIVE_INFINITY,
): SplitArguments {
  const rest: string[] = [];
  const overrides: Override[] = [];
  const problems: Problem[] = [];
  let operands = 0;
  let lastSwitch: string | null = null;
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? "";
    if (argument === "--") {
      rest.push(...argv.slice(index));
      break;
    }
    const next = argv[index + 1];
    // What looks like an option is no value: `--seed --runDir x` would swallow it.
    const value = next?.startsWith("--") ? undefined : next;
    const { flag, text } = atEquals(argument);
    const takesValue = flags.get(flag);
    if (!flag.startsWith("-")) {
      operands++;
      if (lastSwitch !== null && operands > operandCount)
        problems.push({ path: [lastSwitch], message: `expected true or false, saw ${argument}` });
    }
    lastSwitch = null;
    if (!flag.startsWith("--") || takesValue !== undefined) {
      rest.push(argument);
      if (!takesValue || text !== null) continue;
      if (value === undefined) problems.push({ path: [flag], message: needsValue(null, argv.slice(index, index + 2)) });
      else rest.push(argv[++index] ?? "");
      continue;
    }
    const found = findOption(flag);
    if (found === null) {
      problems.push({ path: [flag], message: unknownFlag(flag, [...flags.keys()]) });
      continue;
    }
    const { path, isNegated, schemas } = found;
    const refused = refusedByAlias(flag.slice(2), text ?? value);
    if (refused !== null) problems.push({ path: [flag], message: refused });
    if (isNegated) {
      if (text === null) overrides.push({ path, value: false });
      else problems.push({ path: [flag], message: `takes no value; it stands for --${path}=false` });
      continue;
    }
    if (isList(schemas) && overrides.some((earlier) => earlier.path === path))
      problems.push({ path: [flag], message: `is given twice; give one list: --${path} a,b` });
    if (text !== null) {
      overrides.push({ path, value: text });
    } else if (isSwitch(schemas)) {
      const isValue = next === "true" || next === "false";
      overrides.push({ path, value: isValue ? next : true });
      if (isValue) index++;
      else lastSwitch = flag;
    } else if (value === undefined) {
      problems.push({ path: [flag], message: needsValue(schemas, argv.slice(index, index + 2)) });
    } else {
      overrides.push({ path, value });
      index++;
    }
  }
  if (problems.length > 0) throw configError(problems, "the command line");
  return { rest, overrides };
}

function isSwitch(schemas: readonly z.ZodType[]): boolean {
  return schemas.some((schema) => schema instanceof z.ZodBoolean);
}

function isList(schemas: readonly z.ZodType[]): boolean {
  return schemas.some((schema) => schema instanceof z.ZodArray);
}

/** @param schemas of an option of the experiment; null for a flag of the command. */
function needsValue(schemas: readonly z.ZodType[] | null, [flag, next]: readonly string[]): string {
  const takesText = schemas?.some((schema) => schema instanceof z.ZodString) ?? true;
  const wayOut = next === undefined || !takesText ? "" : `; if ${next} is meant, write ${flag}=${next}`;
  return `needs a value${schemas === null ? "" : `: ${expected(schemas)}`}${wayOut}`;
}

/**
 * A copy of an experiment's input with overrides put in; groups on the way are made when they are missing.
 *
 * @throws CONFIG for a path that does not exist or a value that cannot stand there
 */
export function applyOverrides(input: unknown, overrides: readonly Override[]): unknown {
  if (overrides.length === 0) return input;
  const { value: root, problems: told } = normalize(input);
  if (!isPlainObject(root)) return input;
  // Put into Quarry's names, the script would not show them again.
  const standing = told.filter(({ path }) => !overrides.some((override) => isWithin(override.path, path.join("."))));
  if (standing.length > 0) throw configError(standing);
  const problems: Problem[] = [];
  // Known before the others: an option of a loss is read in the words of the loss that it will be.
  const named = new Map(overrides.map(({ path, value }) => [path, value]));
  const lossOf = (group: readonly string[]): unknown => {
    const name = named.get([...group, "name"].join("."));
    return name === undefined ? valueAt(input, group) : { name };
  };
  for (const override of overrides) {
    const message = apply(root, override, lossOf);
    if (message !== null) problems.push({ path: [override.path], message });
  }
  if (problems.length > 0) throw configError(problems, "the overrides");
  return root;
}

/** Puts one override in place. Gives a problem or null. */
function apply(
  root: Record<string, unknown>,
  { path, value: written }: Override,
  lossOf: (group: readonly string[]) => unknown,
): string | null {
  const { keys, schemas, unknown } = walk(path);
  if (unknown[0] !== undefined) return explainUnknown(keys, unknown[0]);
  const refused = refusedByAlias(path, written);
  if (refused !== null) return refused;
  const { value, problem } = readValue(written, schemas, keys);
  if (problem !== null) return problem;
  const group = keys.slice(0, -1);
  const own = ownLossOption(LOSS.test(group.join(".")) ? lossOf(group) : null, keys.at(-1) ?? "", value);
  return typeof own === "string" ? own : putIn(root, [...group, own[0]], own[1]);
}

/** Whether one of two paths leads to the other. */
function isWithin(one: string, other: string): boolean {
  return `${one}.`.startsWith(`${other}.`) || `${other}.`.startsWith(`${one}.`);
}

interface Found {
  readonly path: string;
  readonly isNegated: boolean;
  readonly schemas: readonly z.ZodType[];
}

function findOption(flag: string): Found | null {
  const name = flag.slice(2);
  const direct = resolvePath(name);
  if (direct !== null) return { ...direct, isNegated: false };
  const negated = name.startsWith("no-") ? resolvePath(name.slice(3)) : null;
  return negated !== null && isSwitch(negated.schemas) ? { ...negated, isNegated: true } : null;
}

function resolvePath(name: string): { readonly path: string; readonly schemas: readonly z.ZodType[] } | null {
  const { keys, schemas, unknown } = walk(name);
  return unknown.length === 0 ? { path: keys.join("."), schemas } : null;
}

/** How far a path leads. */
interface Walked {
  /** What of it exists, in Quarry's names. */
  readonly keys: readonly string[];
  /** What may stand at its end; nothing where it does not exist. */
  readonly schemas: readonly z.ZodType[];
  /** The first part that does not exist, and what follows it. */
  readonly unknown: readonly string[];
}

function walk(path: string): Walked {
  const parts = path.split(".");
  const keys: string[] = [];
  let schemas = alternatives(experimentSchema);
  for (const [index, written] of parts.entries()) {
    const key = ownName(written, keys.join("."), schemas);
    schemas = child(schemas, key);
    if (schemas.length === 0) return { keys, schemas, unknown: parts.slice(index) };
    keys.push(key);
  }
  return { keys, schemas, unknown: [] };
}

/** Names the first part of a path that does not exist; a flag of the command may be meant as well. */
function unknownFlag(flag: string, flags: readonly string[]): string {
  const name = flag.slice(2);
  if (flag === "--json" && flags.includes("--reporter")) return "unknown option; did you mean --reporter json?";
  if (name.startsWith("no-")) {
    const positive = name.slice(3);
    const known = resolvePath(positive);
    if (known !== null) return `only switches are turned off; ${known.path} takes ${expected(known.schemas)}`;
    const found = suggestedPath(positive);
    if (found !== null && isSwitch(resolvePath(found)?.schemas ?? []))
      return `unknown option; did you mean --no-${found}?`;
  }
  const { keys: group, unknown } = walk(name);
  const [written = ""] = unknown;
  const refused = explainRefused(group, written);
  if (refused !== null) return refused;
  const own = group.length > 0 ? [] : flags.map((known) => known.slice(2));
  const found = nearest(name, own) ?? suggestedPath(name);
  if (found !== null) return `unknown option; did you mean --${found}?`;
  return explainUnknown(group, written);
}

/** The path that a misspelt one was meant to be. */
function suggestedPath(name: string): string | null {
  const { keys: group, unknown } = walk(name);
  const [written = "", ...rest] = unknown;
  const found = suggest(group, written);
  if (found === null) return null;
  const isSibling = !found.includes(".") && child(schemasAt(group), found).length > 0;
  const head = isSibling ? [...group, found].join(".") : found;
  const whole = [head, ...rest].join(".");
  return resolvePath(whole) === null ? head : whole;
}

function atEquals(argument: string): { flag: string; text: string | null } {
  const at = argument.indexOf("=");
  return at < 0 ? { flag: argument, text: null } : { flag: argument.slice(0, at), text: argument.slice(at + 1) };
}

/** Reads text as what the schema takes: a text option stays text whatever it looks like. */
function readValue(
  value: unknown,
  schemas: readonly z.ZodType[],
  path: readonly string[],
): { value: unknown; problem: string | null } {
  if (typeof value !== "string") return { value, problem: null };
  const is = <T extends z.ZodType>(type: abstract new (...parts: never[]) => T): boolean =>
    schemas.some((schema) => schema instanceof type);
  const json = parseJson(value);
  const isGroup = is(z.ZodObject) || is(z.ZodRecord);
  if (isGroup && isPlainObject(json)) return { value: json, problem: null };
  if (is(z.ZodArray) && Array.isArray(json)) return { value: json, problem: null };
  const items = child(
    schemas.filter((schema) => schema instanceof z.ZodArray),
    "0",
  );
  const isText = items.some((schema) => !(schema instanceof z.ZodObject));
  if (is(z.ZodArray) && isText && (!is(z.ZodString) || value.includes(","))) {
    const read = (item: string): unknown => readValue(item, items, path).value;
    return { value: value.split(/,(?![^()]*\))/).map((item) => read(item.trim())), problem: null };
  }
  if (is(z.ZodNumber) && typeof json === "number") return { value: json, problem: null };
  if (is(z.ZodBoolean) && typeof json === "boolean") return { value: json, problem: null };
  if (is(z.ZodString) || is(z.ZodEnum) || is(z.ZodLiteral)) return { value, problem: null };
  if (isGroup) {
    const wayOut = LOSS.test(path.join(".")) ? `write --${path.join(".")}.name ${value}` : "name one of them";
    return { value, problem: `is a group of options; ${wayOut} or give JSON, saw ${shown(value)}` };
  }
  if (is(z.ZodUnknown)) return { value: json === undefined ? value : json, problem: null };
  return { value, problem: `expected ${expected(schemas)}, saw ${shown(value)}` };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Puts a value in place; the groups on the way are made when they are missing. Gives a problem or null. */
function putIn(root: Record<string, unknown>, keys: readonly string[], value: unknown): string | null {
  let place: Record<string, unknown> | unknown[] = root;
  for (const key of keys.slice(0, -1)) {
    let next: unknown = Reflect.get(place, key);
    if (next === undefined) {
      next = {};
      Reflect.set(place, key, next);
    }
    if (!isPlainObject(next) && !Array.isArray(next))
      return `stands below ${key}, which the experiment sets to ${shown(next)}`;
    place = next;
  }
  Reflect.set(place, keys.at(-1) ?? "", value);
  return null;
}
