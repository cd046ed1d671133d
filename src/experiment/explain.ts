/** Says in plain words what is wrong with an option, what was seen, and what was probably meant. */
import { z } from "zod";
import { QuarryError } from "../errors.js";
import { nearest } from "../nearest.js";
import { camelCase, MOVED_OPTIONS, OPTION_ALIASES } from "./aliases.js";
import { allPaths, alternatives, child, fieldAt, isMark, namesOf, schemasAt } from "./shape.js";
import { REFUSED_ARGS } from "./training-args.generated.js";

/** One thing that is wrong, at one option. */
export interface Problem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** All problems as one CONFIG error. */
export function configError(
  problems: readonly Problem[],
  subject = "the experiment",
  hint = "docs/options.md describes every option.",
): QuarryError {
  const lines = problems.map(({ path, message }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`));
  const message =
    lines.length === 1
      ? (lines[0] ?? "")
      : `${lines.length} problems in ${subject}:\n${lines.map((line) => `  ${line}`).join("\n")}`;
  return new QuarryError("CONFIG", message, { hint });
}

/** Turns what zod found into problems; `input` is the value that was validated. */
export function explain(issues: readonly z.core.$ZodIssue[], input: unknown): Problem[] {
  const marks = issues.filter(({ path }) => isMark(String(path.at(-1)), schemasAt(path)));
  const misplaced = marks.map(({ path }) => path.slice(0, -1).join("."));
  return issues.flatMap((issue): Problem[] => {
    const { path } = issue;
    if (marks.includes(issue)) {
      const group = path.slice(0, -1);
      return [{ path: group, message: `expected ${expected(schemasAt(group))}, saw ${shown(valueAt(input, group))}` }];
    }
    // Once a group is of the wrong kind, its options say nothing more.
    if (misplaced.some((group) => path.join(".") === group || path.join(".").startsWith(`${group}.`))) return [];
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({ path: [...path, key], message: explainUnknown(path, key) }));
    }
    const seen = valueAt(input, path);
    const schemas = schemasAt(path);
    const within = issue.code === "invalid_union" ? issuesWithin(issue, seen, schemas) : [];
    if (within.length > 0) return explain(within, input);
    if (seen === undefined) return [{ path, message: `is missing${sentenceAt(path)}` }];
    if (issue.code === "invalid_format" && issue.format === "regex") {
      return [{ path, message: `${issue.message}; saw ${shown(seen)}` }];
    }
    const choices = schemas.flatMap(literals);
    const near = typeof seen === "string" ? nearest(seen, choices) : null;
    if (near !== null && near !== seen)
      return [{ path, message: `${shown(seen)} is not one of ${choices.join(", ")}; did you mean ${near}?` }];
    return [{ path, message: `expected ${expected(schemas)}, saw ${shown(seen)}` }];
  });
}

/** What is wrong inside the one member of a union that the user must have meant: the list, or the group. */
function issuesWithin(
  issue: z.core.$ZodIssueInvalidUnion,
  seen: unknown,
  schemas: readonly z.ZodType[],
): z.core.$ZodIssue[] {
  const isMeant = (schema: z.ZodType | undefined): boolean =>
    Array.isArray(seen)
      ? schema instanceof z.ZodArray && seen.length > 0
      : schema instanceof z.ZodObject && isPlainObject(seen);
  const strangers = (schema: z.ZodType): number =>
    Object.keys(Object(seen)).filter((key) => child([schema], key).length === 0).length;
  const candidates = schemas.filter(isMeant);
  // Of several groups, the one that knows the most of what is written.
  const fewest = Math.min(...candidates.map(strangers));
  const members = candidates.filter((schema) => strangers(schema) === fewest);
  if (members.length !== 1) return [];
  // Unions are flattened in `schemas`, so the member is found by checking it once more.
  const result = (members[0] as z.ZodType).safeParse(seen);
  return result.success ? [] : result.error.issues.map((each) => ({ ...each, path: [...issue.path, ...each.path] }));
}

/** Whether this is a group of options, as scripts and command lines write them. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // A script may run in a realm of its own, so an equal name stands in for an equal prototype.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Why an option does not exist, with the nearest one: among its siblings first, then anywhere. */
export function explainUnknown(group: readonly PropertyKey[], name: string): string {
  const refused = explainRefused(group, name);
  if (refused !== null) return refused;
  const found = suggest(group, name);
  if (found !== null) return `unknown option; did you mean ${found}?`;
  const siblings = [...new Set(namesOf(schemasAt(group)))].filter(
    (sibling) => !isMark(sibling, schemasAt([...group, sibling])),
  );
  return siblings.length === 0 ? "takes no options" : `unknown option; there are ${siblings.join(", ")}`;
}

/** Why an option that transformers has is not taken, and what to do instead; null for others. */
export function explainRefused(group: readonly PropertyKey[], name: string): string | null {
  const refused = group.join(".") === "train.args" ? REFUSED_ARGS[camelCase(name)] : undefined;
  return refused === undefined || MOVED_OPTIONS[camelCase(name)] !== undefined ? null : `is not taken. ${refused}`;
}

/** The option that a name in a group was meant to be: a sibling's name, or the path of an option elsewhere. */
export function suggest(group: readonly PropertyKey[], name: string): string | null {
  const siblings = namesOf(schemasAt(group));
  const moved = MOVED_OPTIONS[camelCase(name)];
  if (moved !== undefined) return moved;
  const paths = allPaths();
  const isLeaf = (path: string, leaf: string): boolean => path === leaf || path.endsWith(`.${leaf}`);
  const elsewhere = paths.find((path) => isLeaf(path, camelCase(name)));
  if (elsewhere !== undefined) return elsewhere;
  const aliases: Readonly<Record<string, Readonly<Record<string, string>>>> = OPTION_ALIASES;
  const near = nearest(name, [...siblings, ...Object.keys(aliases[group.join(".")] ?? {})]);
  if (near !== null) return near;
  const leaf = nearest(
    name,
    new Set([...paths.map((path) => path.slice(path.lastIndexOf(".") + 1)), ...Object.keys(MOVED_OPTIONS)]),
  );
  return leaf === null ? null : (MOVED_OPTIONS[leaf] ?? paths.find((path) => isLeaf(path, leaf)) ?? null);
}

/** A value as a reader of a message knows it. */
export function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (typeof value === "string")
    return `the text ${JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}…` : value)}`;
  if (typeof value === "number" || typeof value === "bigint") return `the number ${value}`;
  if (typeof value === "boolean") return String(value);
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (value instanceof Promise) return "a promise (is an await missing?)";
  const kind: unknown = Reflect.get(Object(value), "kind");
  return typeof kind === "string" ? `what ${kind}(…) gives` : "an object";
}

/** What an option takes, in words. */
export function expected(schemas: readonly z.ZodType[]): string {
  const choices = schemas.flatMap(literals);
  const others = schemas.filter((schema) => literals(schema).length === 0).map(inWords);
  const words = [...new Set(others)];
  if (choices.length > 0)
    words.push(choices.length === 1 || words.length > 0 ? choices.join(" or ") : `one of ${choices.join(", ")}`);
  return words.join(" or ") || "something else";
}

function inWords(schema: z.ZodType): string {
  if (schema instanceof z.ZodString) return textInWords(schema);
  if (schema instanceof z.ZodBoolean) return "true or false";
  if (schema instanceof z.ZodNumber) return numberInWords(schema);
  if (schema instanceof z.ZodArray) {
    const { least, most } = lengthsOf(schema);
    const sizes = [least === null ? "" : `with at least ${least === 1 ? "one entry" : `${least} entries`}`];
    if (most !== null) sizes.push(`of at most ${most} entries`);
    const list = ["a list", ...sizes.filter((size) => size !== "")].join(" ");
    const entries = alternatives(schema.element as z.ZodType);
    return `${list}${entries.length > 1 ? ", each" : " of"} ${expected(entries)}`;
  }
  if (schema instanceof z.ZodObject) {
    const kind = schema.shape.kind;
    return kind instanceof z.ZodLiteral ? `what ${String(kind.value)}(…) gives` : "a group of options { … }";
  }
  if (schema instanceof z.ZodCustom) return "what step({ name, version, fn }) gives";
  return "a group of options { … }";
}

function textInWords(schema: z.ZodString): string {
  const { least, most } = lengthsOf(schema);
  if (least !== null)
    return most === null ? `text of at least ${least} characters` : `text of ${least} to ${most} characters`;
  return most === null ? "text" : `text of at most ${most} characters`;
}

function lengthsOf(schema: z.ZodString | z.ZodArray): { least: number | null; most: number | null } {
  let least: number | null = null;
  let most: number | null = null;
  for (const check of schema.def.checks ?? []) {
    const def = check._zod.def as { check: string; minimum?: number; maximum?: number };
    if (def.check === "min_length") least = def.minimum ?? null;
    if (def.check === "max_length") most = def.maximum ?? null;
  }
  return { least, most };
}

function numberInWords(schema: z.ZodNumber): string {
  const noun = schema.def.type === "number" && schema.format?.includes("int") ? "a whole number" : "a number";
  const bounds = (schema.def.checks ?? []).flatMap((check): string[] => {
    const def = check._zod.def as { check: string; value?: unknown; inclusive?: boolean };
    if (def.check === "greater_than")
      return [def.inclusive ? `of at least ${String(def.value)}` : `above ${String(def.value)}`];
    if (def.check === "less_than")
      return [def.inclusive ? `of at most ${String(def.value)}` : `below ${String(def.value)}`];
    return [];
  });
  return [noun, bounds.join(" and ")].filter((part) => part !== "").join(" ");
}

function literals(schema: z.ZodType): string[] {
  if (schema instanceof z.ZodEnum) return schema.options.map(String);
  if (schema instanceof z.ZodLiteral) return [...schema.values].map(String);
  return [];
}

function sentenceAt(path: readonly PropertyKey[]): string {
  const sentence = fieldAt(path.map(String))?.sentence ?? "";
  return sentence === "" ? `; expected ${expected(schemasAt(path))}` : `. ${sentence}`;
}

/** What stands at a path; undefined where nothing does. */
export function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input;
  for (const key of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}
