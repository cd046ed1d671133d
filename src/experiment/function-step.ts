/** Functions of a user's script that stand in for a step of the algebra: named, versioned, hashed, so that a run knows them again. */
import { createHash } from "node:crypto";

/** A text, read only when it is looked at. */
export interface LazyText {
  readonly id: string;
  /** "" for queries and for passages without one. */
  readonly title: string;
  readonly text: string;
}

/** One judgement as a function sees it; ids and texts are read when they are looked at. */
export interface Triplet {
  readonly queryId: string;
  readonly passageId: string;
  readonly score: number;
  readonly query: LazyText;
  readonly passage: LazyText;
}

/** All judgements of a query that passed the filters, in file order. */
export interface TripletGroup {
  readonly queryId: string;
  readonly query: LazyText;
  readonly triplets: readonly Triplet[];
  readonly epoch: number;
  /** A number in [0, 1), drawn for (seed, epoch, query, source): the same wherever and whenever it is drawn. */
  readonly random: () => number;
}

/** A function with the name and version that it is known by. */
export interface FunctionStep<Input, Output> {
  readonly kind: "step";
  readonly name: string;
  readonly version: string;
  /** sha256 of the function's source, the first 16 digits. */
  readonly sourceHash: string;
  /** Left out of JSON: what is written down is name, version and hash. */
  readonly fn: (input: Input) => Output;
}

const made = new WeakSet();

/**
 * Makes a function usable as a step of the algebra.
 *
 * It is called synchronously and must depend on nothing but its argument. Name, version and source become part of the
 * data's fingerprint, so a run is not resumed with another function. What it calls from outside itself is not seen:
 * raise the version when that changes.
 *
 * @throws TypeError when the name is empty or `fn` is no function
 * @example
 * filter: step({ name: "long-passages", version: 1, fn: ({ passage }) => passage.text.length > 200 })
 */
export function step<Input, Output>(options: {
  readonly name: string;
  readonly version?: string | number;
  readonly fn: (input: Input) => Output;
}): FunctionStep<Input, Output> {
  const { name, version = 1, fn } = options;
  if (typeof name !== "string" || name === "") throw new TypeError("step({ name, version, fn }): name must be text");
  if (typeof fn !== "function") throw new TypeError(`step({ name: ${JSON.stringify(name)} }): fn must be a function`);
  const sourceHash = createHash("sha256").update(fn.toString()).digest("hex").slice(0, 16);
  const known = { kind: "step" as const, name, version: String(version), sourceHash };
  // Not enumerable, so that neither JSON nor a copy of the configuration carries a function without its name.
  const result = Object.defineProperty(known, "fn", { value: fn, enumerable: false }) as FunctionStep<Input, Output>;
  made.add(Object.freeze(result));
  return result;
}

/** Whether `step()` made this. */
export function isStep(value: unknown): value is FunctionStep<never, unknown> {
  return typeof value === "object" && value !== null && made.has(value);
}
