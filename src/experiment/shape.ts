/** Reads the schema as data: which options exist where, what they take, and the sentence of each. */
import { z } from "zod";
import { experimentSchema } from "./schema.js";

/** An option without the wrappers that make it optional. */
export interface Field {
  /** The schema underneath optional and default. */
  readonly core: z.ZodType;
  readonly isOptional: boolean;
  /** The value taken when the option is left out, undefined when there is none or when it is made of nested defaults. */
  readonly defaultValue: unknown;
  readonly sentence: string;
}

/** Takes the wrappers (optional, default, prefault) off a schema; the outermost description wins. */
export function unwrap(schema: z.ZodType): Field {
  let core: z.ZodType = schema;
  let isOptional = false;
  let defaultValue: unknown;
  let sentence = schema.description ?? "";
  for (;;) {
    if (core instanceof z.ZodOptional) {
      isOptional = true;
    } else if (core instanceof z.ZodDefault) {
      isOptional = true;
      defaultValue = core.def.defaultValue;
    } else if (core instanceof z.ZodPrefault) {
      isOptional = true;
    } else {
      return { core, isOptional, defaultValue, sentence };
    }
    core = core.unwrap() as z.ZodType;
    sentence ||= core.description ?? "";
  }
}

/** What a schema may be: the members of a union, else the schema itself; without wrappers. */
export function alternatives(schema: z.ZodType): z.ZodType[] {
  const { core } = unwrap(schema);
  if (core instanceof z.ZodUnion) return core.options.flatMap((option) => alternatives(option as z.ZodType));
  return [core];
}

/** Whether an option only tells groups apart and is set by their builders; a kind that users choose is none. */
export function isMark(name: string, schemas: readonly z.ZodType[]): boolean {
  return name === "kind" && schemas.flatMap(alternatives).every((schema) => schema instanceof z.ZodLiteral);
}

/** Names and schemas of an object's own options. */
export function fieldsOf(schema: z.ZodObject): [name: string, schema: z.ZodType][] {
  return Object.entries(schema.shape).map(([name, field]) => [name, field as z.ZodType]);
}

/** Whether an object takes further, free options (those of a loss). */
export function isLoose(schema: z.ZodObject): boolean {
  return schema.def.catchall instanceof z.ZodUnknown;
}

/** The schemas under one key of these alternatives; empty when there is no such key. */
export function child(schemas: readonly z.ZodType[], key: string): z.ZodType[] {
  const found = schemas.flatMap((schema): z.ZodType[] => {
    if (schema instanceof z.ZodObject) {
      const field = Object.hasOwn(schema.shape, key) ? (schema.shape[key] as z.ZodType) : undefined;
      if (field !== undefined) return [field];
      return isLoose(schema) ? [schema.def.catchall as z.ZodType] : [];
    }
    if (schema instanceof z.ZodRecord) return [schema.valueType as z.ZodType];
    if (schema instanceof z.ZodArray) return /^\d+$/.test(key) ? [schema.element as z.ZodType] : [];
    return [];
  });
  return found.flatMap(alternatives);
}

/** What the schema allows at a path; empty when the path does not exist. */
export function schemasAt(path: readonly PropertyKey[]): z.ZodType[] {
  let schemas = alternatives(experimentSchema);
  for (const key of path) schemas = child(schemas, String(key));
  return schemas;
}

/** The option at a path, with its default and sentence; null when the path does not exist. */
export function fieldAt(path: readonly string[]): Field | null {
  const name = path.at(-1) ?? "";
  for (const schema of schemasAt(path.slice(0, -1))) {
    if (schema instanceof z.ZodObject && Object.hasOwn(schema.shape, name))
      return unwrap(schema.shape[name] as z.ZodType);
  }
  return null;
}

/** Names of all options of these alternatives. */
export function namesOf(schemas: readonly z.ZodType[]): string[] {
  return schemas.flatMap((schema) => (schema instanceof z.ZodObject ? Object.keys(schema.shape) : []));
}

/** Every option's path with dots, groups included, e.g. `train`, `train.args`, `train.args.maxSteps`. */
export function allPaths(): string[] {
  const paths: string[] = [];
  const visit = (schemas: readonly z.ZodType[], prefix: string): void => {
    for (const name of new Set(namesOf(schemas))) {
      const below = child(schemas, name);
      if (isMark(name, below)) continue;
      paths.push(prefix + name);
      visit(below, `${prefix}${name}.`);
    }
  };
  visit(alternatives(experimentSchema), "");
  // The shallowest first: of options of one name it is the one that a reader has in mind.
  const depth = (path: string): number => path.split(".").length;
  return paths.sort((a, b) => depth(a) - depth(b));
}
