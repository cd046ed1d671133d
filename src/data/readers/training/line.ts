/** One line of a training file, whatever its format calls things: a query with its positives and negatives. */
import { hash } from "node:crypto";
import { counted } from "../../../counted.js";
import { shorten } from "../records.js";

/** A passage as a training file gives it. */
export interface TrainingPassage {
  /** Null: its id is made of its content. */
  readonly id: string | null;
  /** Empty where there is none. */
  readonly title: string;
  /** Null where the file names passages by id only. */
  readonly text: string | null;
  /** What the judgement is when the file's labels count: 1 and 0, or the grade that the file gives. */
  readonly label: number;
  /** What a teacher said, null where nothing is written. */
  readonly score: number | null;
}

/** What a line holds. */
export interface TrainingLine {
  /** Null: the query's id is made of its content. */
  readonly queryId: string | null;
  /** Null where the file has no text of the query. */
  readonly query: string | null;
  /** Empty where there is none. */
  readonly prompt: string;
  /** Positives first, each in the order of the file. */
  readonly passages: readonly TrainingPassage[];
}

/** Why a line has not the shape that its format wants. */
export class ShapeFault extends Error {
  constructor(
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

/**
 * The id of a text without one: `q-` or `p-` and 24 hexadecimal digits of the sha256 over the text. What belongs to the
 * text (a passage's title, a query's own prompt) stands before it with a NUL between: texts with another title or
 * prompt are other texts.
 */
export function contentId(kind: "q" | "p", before: string, text: string): string {
  const whole = before === "" ? text : `${before}\0${text}`;
  return `${kind}-${hash("sha256", whole, "hex").slice(0, 24)}`;
}

/** An object's fields, by name; `isTyped` where they come from typed columns, so that whole numbers are exact. */
export class Fields {
  constructor(
    private readonly values: Readonly<Record<string, unknown>>,
    readonly isTyped: boolean,
    private readonly what = "the line",
  ) {}

  /** Names of the fields that hold something. */
  get names(): string[] {
    return Object.keys(this.values).filter((name) => this.has(name));
  }

  has(name: string): boolean {
    return Object.hasOwn(this.values, name) && this.values[name] !== null && this.values[name] !== undefined;
  }

  /** The first of these names that is there, or null. */
  find(names: readonly string[]): string | null {
    return names.find((name) => this.has(name)) ?? null;
  }

  value(name: string): unknown {
    return this.has(name) ? this.values[name] : null;
  }

  /** @throws ShapeFault for what is no string, or missing. */
  text(name: string): string {
    if (!this.has(name)) throw this.missing(name);
    return textOf(this.values[name], name);
  }

  /** Empty where it is missing or null. */
  optionalText(name: string): string {
    return this.has(name) ? this.text(name) : "";
  }

  /** Null where it is missing. */
  id(names: readonly string[]): string | null {
    const name = this.find(names);
    return name === null ? null : idOf(this.values[name], name, this.isTyped);
  }

  /** A list; one value counts as a list of one, a missing one as an empty list. */
  list(name: string): readonly unknown[] {
    if (!this.has(name)) return [];
    const value = this.values[name];
    return Array.isArray(value) ? (value as unknown[]) : [value];
  }

  /** Numbers beside texts, or null where there are none. */
  numbers(name: string): readonly number[] | null {
    if (!this.has(name)) return null;
    return this.list(name).map((value) => numberOf(value, name));
  }

  missing(name: string): ShapeFault {
    const has = this.names.length === 0 ? "no fields" : `the fields ${this.names.slice(0, 10).join(", ")}`;
    return new ShapeFault(`no field "${name}" in ${this.what}.`, `There are ${has}; null counts as missing.`);
  }
}

/** @throws ShapeFault */
export function textOf(value: unknown, name: string): string {
  if (Array.isArray(value) && value.every((each) => typeof each === "number" || typeof each === "bigint")) {
    throw new ShapeFault(
      `the field "${name}" holds token ids instead of text.`,
      "Texts are tokenised by the worker, for the model in use: take the file from before its tokenisation.",
    );
  }
  if (typeof value !== "string") {
    throw new ShapeFault(`the field "${name}" is no string: ${shown(value)}.`, "Write it as a string in quotes.");
  }
  if (/\p{Surrogate}/u.test(value)) {
    throw new ShapeFault(
      `an escape in the field "${name}" stands for half a character (a lone surrogate).`,
      "Write the text in UTF-8.",
    );
  }
  return value;
}

/** @throws ShapeFault for ids that run files and qrels could not hold. */
export function idOf(value: unknown, name: string, isTyped: boolean): string {
  if (typeof value === "bigint" || (isTyped && Number.isSafeInteger(value))) return String(value);
  if (typeof value === "number") {
    throw new ShapeFault(
      `the field "${name}" is a number; ids are strings.`,
      "Write ids in quotes: numbers beyond 2^53, such as 9007199254740993, change when they are read.",
    );
  }
  const id = textOf(value, name);
  if (id === "")
    throw new ShapeFault(`the field "${name}" is empty.`, "Leave ids out, or give each text one of its own.");
  if ([...id].some((character) => character <= " " || character === "\x7f")) {
    throw new ShapeFault(
      `the id ${JSON.stringify(id)} holds white space or a control character.`,
      "Use ids without them, e.g. with _ instead: run files and qrels are separated by white space.",
    );
  }
  return id;
}

/** @throws ShapeFault for what is no number that a float32 can hold. */
export function numberOf(value: unknown, name: string): number {
  const number = typeof value === "bigint" ? Number(value) : value;
  if (typeof number === "number" && Number.isFinite(Math.fround(number))) return number;
  throw new ShapeFault(`the field "${name}" holds ${shown(value)} where a number was expected.`, "Scores are numbers.");
}

/** @throws ShapeFault unless there is one number for each text. */
export function beside(
  numbers: readonly number[] | null,
  count: number,
  name: string,
  texts: string,
): readonly (number | null)[] {
  if (numbers === null) return new Array<null>(count).fill(null);
  if (numbers.length === count) return numbers;
  throw new ShapeFault(
    `${counted(numbers.length, "numbers")} in "${name}" for ${counted(count, "texts")} in ${texts}.`,
    "Each text needs a score of its own, in the same order; or leave the scores out.",
  );
}

function shown(value: unknown): string {
  const text =
    JSON.stringify(value, (_, each: unknown) => (typeof each === "bigint" ? String(each) : each)) ?? "nothing";
  return shorten(text);
}
