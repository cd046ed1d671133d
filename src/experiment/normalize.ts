/** Rewrites what a user wrote into Quarry's own names, so that validation and everything behind it knows one spelling. */
import { z } from "zod";
import { camelCase, OPTION_ALIASES, refusedByAlias, VALUE_ALIASES } from "./aliases.js";
import { configError, isPlainObject, type Problem } from "./explain.js";
import { isStep } from "./function-step.js";
import { hoistMiniBatch, ownLoss } from "./loss-aliases.js";
import { canonicalMeasure, unknownMeasure } from "./measures.js";
import { experimentSchema } from "./schema.js";
import { alternatives, child } from "./shape.js";

type Table = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** A value in Quarry's own names, and what could not be said in them. */
export interface Normalized {
  readonly value: unknown;
  readonly problems: readonly Problem[];
}

/** Far beyond what any option holds. */
const MAX_DEPTH = 100;

/** A copy of an experiment's input with every alias replaced; the input itself is left as it is. */
export function normalize(input: unknown): Normalized {
  const problems: Problem[] = [];
  const value = visit(input, alternatives(experimentSchema), [], problems);
  return { value, problems };
}

/** The option's own name for whatever name stands in a group: itself, its camelCase, or its alias; else as written. */
export function ownName(name: string, group: string, schemas: readonly z.ZodType[]): string {
  if (knows(schemas, name)) return name;
  const camel = camelCase(name);
  if (knows(schemas, camel)) return camel;
  return lookUp(OPTION_ALIASES, placeOf(group, schemas), camel) ?? name;
}

/** Under which name the tables of aliases know a group: sources, models and prompts may stand in several places. */
function placeOf(group: string, schemas: readonly z.ZodType[]): string {
  const has = (option: string): boolean => knows(schemas, option);
  if (has("corpus")) return "source";
  if (has("activation")) return "crossEncoder";
  if (has("rslora")) return "lora";
  if (has("pooling")) return "model";
  // Also where refreshed negatives are mined.
  if (has("rangeMin")) return "mine";
  // A source has prompts, templates and the like of its own.
  return has("query") && has("passage") ? "model.prompts" : group;
}

/** Whether the schema names an option; a loss's or an encoder's own are free here, the Python side checks them. */
function knows(schemas: readonly z.ZodType[], name: string): boolean {
  return schemas.some((schema) => schema instanceof z.ZodObject && Object.hasOwn(schema.shape, name));
}

function visit(value: unknown, schemas: readonly z.ZodType[], path: readonly string[], problems: Problem[]): unknown {
  if (path.length > MAX_DEPTH)
    throw configError([{ path: path.slice(0, 3), message: "has no end: an object or a list in it holds itself" }]);
  const group = path.join(".");
  if (Array.isArray(value)) {
    return value.map((item, index) =>
      /^(train\.)?evaluate\.(data\.sets\.\d+\.)?measures$/.test(group)
        ? measure(item, [...path, String(index)], problems)
        : visit(item, child(schemas, String(index)), [...path, String(index)], problems),
    );
  }
  if (group === "train.evaluate.metricForBestModel") return metric(value);
  if (typeof value === "string") return lookUp(VALUE_ALIASES, group, value) ?? value;
  if (!isPlainObject(value) || isStep(value)) return value;

  const place = placeOf(group, schemas);
  const result: Record<string, unknown> = {};
  const spellings = new Map<string, string>();
  for (const [written, item] of Object.entries(value)) {
    const name = ownName(written, group, schemas);
    const other = spellings.get(name);
    if (other !== undefined) {
      problems.push({ path: [...path, written], message: `says the same as ${other}; keep one of them` });
      continue;
    }
    spellings.set(name, written);
    const refused = refusedByAlias([...path, written].join("."), item);
    if (refused !== null) problems.push({ path: [...path, written], message: refused });
    const own = typeof item === "string" && place !== group ? lookUp(VALUE_ALIASES, `${place}.${name}`, item) : null;
    result[name] = own ?? visit(item, child(schemas, name), [...path, name], problems);
  }
  if (/^train\.loss(\.\d+)?$/.test(group)) return ownLoss(result, path, problems);
  if (group === "train") return hoistMiniBatch(result, problems);
  return withKind(result, schemas);
}

/** A group written without its builder still gets its kind, as far as its options leave no doubt. */
function withKind(value: Record<string, unknown>, schemas: readonly z.ZodType[]): Record<string, unknown> {
  if (Object.hasOwn(value, "kind")) return value;
  const objects = schemas.filter((schema) => knows([schema], "kind"));
  const names = Object.keys(value);
  const fitting =
    objects.length === 1 ? objects : objects.filter((schema) => names.some((name) => knows([schema], name)));
  // Of several that fit, the first is the plainest: binary rather than scored.
  const kind = fitting[0] instanceof z.ZodObject ? fitting[0].shape.kind : undefined;
  return kind instanceof z.ZodLiteral ? { kind: kind.value, ...value } : value;
}

function measure(value: unknown, path: readonly string[], problems: Problem[]): unknown {
  if (typeof value !== "string") return value;
  const canonical = canonicalMeasure(value);
  if (canonical !== null) return canonical;
  problems.push({ path, message: unknownMeasure(value) });
  return value;
}

/** A measure alone or as `set/measure`; transformers writes `eval_` in front. One that is unknown is told by the cross-check. */
function metric(value: unknown): unknown {
  if (typeof value !== "string") return value;
  const [, set = "", name = ""] = /^(?:eval_)?(?:(.*)\/)?(.*)$/s.exec(value) ?? [];
  return `${set === "" ? "" : `${set}/`}${canonicalMeasure(name) ?? name}`;
}

function lookUp(table: Table, group: string, name: string): string | undefined {
  const names = Object.hasOwn(table, group) ? table[group] : undefined;
  return names !== undefined && Object.hasOwn(names, name) ? names[name] : undefined;
}
