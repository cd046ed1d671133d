/** Options given on the command line: found among the arguments, typed by the schema, put into the experiment's input. */
import { z } from "zod";
import { configError, expected, explainUnknown, isPlainObject, type Problem, shown, suggest } from "./explain.js";
import { nearest } from "./nearest.js";
import { normalize, ownName } from "./normalize.js";
import { experimentSchema } from "./schema.js";
import { alternatives, child } from "./shape.js";

/** One option that takes the place of the script's. */
export interface Override {
  /** Path with dots, in any spelling the schema knows, e.g. `train.args.maxSteps` or `train.args.max-steps`. */
  readonly path: string;
  /** Text is read as what the schema takes there; anything else is taken as it is. */
  readonly value: unknown;
}

/** Arguments with the overrides taken out. */
export interface SplitArguments {
  readonly rest: readonly string[];
  readonly overrides: readonly Override[];
}

/**
 * Takes overrides out of command line arguments; flags of the command itself and operands stay.
 *
 * @param flags the command's own long flags, e.g. `--reporter`, and whether each takes a value
 * @throws CONFIG for an option that neither the command nor the schema has, with the nearest one
 * @example
 * splitArguments(["x.ts", "--train.args.max-steps", "5"], new Map()); // { rest: ["x.ts"], overrides: [{ path: "train.args.maxSteps", value: "5" }] }
 */
export function splitArguments(argv: readonly string[], flags: ReadonlyMap<string, boolean>): SplitArguments {
  const rest: string[] = [];
  const overrides: Override[] = [];
  const problems: Problem[] = [];
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? "";
    if (argument === "--") {
      rest.push(...argv.slice(index));
      break;
    }
    const { flag, text } = atEquals(argument);
    const takesValue = flags.get(flag);
    if (!flag.startsWith("--") || takesValue !== undefined) {
      rest.push(argument);
      if (takesValue && text === null && index + 1 < argv.length) rest.push(argv[++index] ?? "");
      continue;
    }
    const found = findOption(flag);
    if (found === null) {
      problems.push({ path: [flag], message: unknownFlag(flag, [...flags.keys()]) });
      continue;
    }
    const { path, isNegated, schemas } = found;
    const isSwitch = schemas.some((schema) => schema instanceof z.ZodBoolean);
    const next = argv[index + 1];
    if (isNegated) {
      overrides.push({ path, value: text === null ? false : text !== "true" });
    } else if (text !== null) {
      overrides.push({ path, value: text });
    } else if (isSwitch) {
      const isValue = next === "true" || next === "false";
      overrides.push({ path, value: isValue ? next : true });
      if (isValue) index++;
    } else if (next === undefined) {
      problems.push({ path: [flag], message: `needs a value: ${expected(schemas)}` });
    } else {
      overrides.push({ path, value: next });
      index++;
    }
  }
  if (problems.length > 0) throw configError(problems, "the command line");
  return { rest, overrides };
}

/**
 * A copy of an experiment's input with overrides put in; groups on the way are made when they are missing.
 *
 * @throws CONFIG for a path that does not exist or a value that cannot stand there
 */
export function applyOverrides(input: unknown, overrides: readonly Override[]): unknown {
  if (overrides.length === 0) return input;
  const { value: root } = normalize(input);
  if (!isPlainObject(root)) return input;
  const problems: Problem[] = [];
  for (const override of overrides) {
    const keys: string[] = [];
    let schemas = alternatives(experimentSchema);
    let problem: string | null = null;
    for (const written of override.path.split(".")) {
      const name = ownName(written, keys.join("."), schemas);
      const next = child(schemas, name);
      if (next.length === 0) problem ??= explainUnknown(keys, written);
      keys.push(name);
      schemas = next;
    }
    const typed = problem === null ? readValue(override.value, schemas) : null;
    problem ??= typed?.problem ?? putIn(root, keys, typed?.value);
    if (problem !== null) problems.push({ path: [override.path], message: problem });
  }
  if (problems.length > 0) throw configError(problems, "the overrides");
  return root;
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
  if (negated?.schemas.some((schema) => schema instanceof z.ZodBoolean)) return { ...negated, isNegated: true };
  return null;
}

function resolvePath(name: string): { path: string; schemas: z.ZodType[] } | null {
  let schemas = alternatives(experimentSchema);
  const keys: string[] = [];
  for (const written of name.split(".")) {
    const key = ownName(written, keys.join("."), schemas);
    schemas = child(schemas, key);
    if (schemas.length === 0) return null;
    keys.push(key);
  }
  return { path: keys.join("."), schemas };
}

/** Names the first part of a path that does not exist; a flag of the command may be meant as well. */
function unknownFlag(flag: string, flags: readonly string[]): string {
  const parts = flag.slice(2).split(".");
  const keys: string[] = [];
  let schemas = alternatives(experimentSchema);
  for (const [index, written] of parts.entries()) {
    const name = ownName(written, keys.join("."), schemas);
    const next = child(schemas, name);
    if (next.length === 0) {
      const near = index === 0 ? nearestFlag(flag, flags) : null;
      if (near !== null) return `unknown option; did you mean ${near}?`;
      const found = suggest(keys, written);
      if (found === null) return explainUnknown(keys, written);
      const head = found.includes(".") || child(schemas, found).length === 0 ? found : [...keys, found].join(".");
      const tail = resolvePath([head, ...parts.slice(index + 1)].join(".")) === null ? [] : parts.slice(index + 1);
      return `unknown option; did you mean --${[head, ...tail].join(".")}?`;
    }
    keys.push(name);
    schemas = next;
  }
  return "unknown option";
}

function nearestFlag(flag: string, flags: readonly string[]): string | null {
  return nearest(
    flag.slice(2),
    flags.map((known) => known.slice(2)),
  ) === null
    ? null
    : `--${nearest(
        flag.slice(2),
        flags.map((known) => known.slice(2)),
      )}`;
}

function atEquals(argument: string): { flag: string; text: string | null } {
  const at = argument.indexOf("=");
  return at < 0 ? { flag: argument, text: null } : { flag: argument.slice(0, at), text: argument.slice(at + 1) };
}

/** Reads text as what the schema takes: a text option stays text whatever it looks like. */
function readValue(value: unknown, schemas: readonly z.ZodType[]): { value: unknown; problem: string | null } {
  if (typeof value !== "string") return { value, problem: null };
  const is = <T extends z.ZodType>(type: abstract new (...parts: never[]) => T): boolean =>
    schemas.some((schema) => schema instanceof type);
  const json = parseJson(value);
  if (is(z.ZodObject) && isPlainObject(json)) return { value: json, problem: null };
  if (is(z.ZodArray) && (Array.isArray(json) || !is(z.ZodString) || value.includes(","))) {
    return {
      value: Array.isArray(json) ? json : value.split(/,(?![^()]*\))/).map((item) => readItem(item.trim(), schemas)),
      problem: null,
    };
  }
  if (is(z.ZodNumber) && typeof json === "number") return { value: json, problem: null };
  if (is(z.ZodBoolean) && typeof json === "boolean") return { value: json, problem: null };
  if (is(z.ZodString) || is(z.ZodEnum) || is(z.ZodLiteral)) return { value, problem: null };
  if (is(z.ZodObject) || is(z.ZodRecord)) {
    if (isPlainObject(json)) return { value: json, problem: null };
    return { value, problem: `is a group of options; name one of them or give JSON, saw ${shown(value)}` };
  }
  if (is(z.ZodUnknown)) return { value: json === undefined ? value : json, problem: null };
  return { value, problem: `expected ${expected(schemas)}, saw ${shown(value)}` };
}

function readItem(item: string, schemas: readonly z.ZodType[]): unknown {
  return readValue(item, child(schemas, "0")).value;
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
