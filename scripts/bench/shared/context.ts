/** What every part of a benchmark gets, and what it tells. */
import type { PythonEnvironment } from "../../../src/python/environment.js";

/** One measured thing; `reach` says what it must be, null where nothing was promised. */
export interface Figure {
  readonly part: string;
  readonly what: string;
  readonly measured: string;
  readonly reach: string | null;
  readonly isOk: boolean | null;
}

/** The surroundings of a part. */
export interface Context {
  readonly part: string;
  /** Small sizes, under two minutes a part. */
  readonly quick: boolean;
  readonly device: string;
  readonly threads: number;
  readonly python: PythonEnvironment;
  /** A folder that is removed at the end. */
  readonly folder: string;
  /** The Python of the peers' environment, which is made when it is first needed. */
  peersPython(): string;
  tell(what: string, measured: string, reach?: string, isOk?: boolean): void;
  /** Takes a figure that a Python part has told in full. */
  add(figure: Figure): void;
  /** Numbers that a table has no room for; they are kept in the JSON file. */
  numbers(values: Readonly<Record<string, unknown>>): void;
  /** Says on standard error what is at work. */
  note(what: string): void;
}

/** The middle one; of an even number the upper middle one. */
export const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] as number;
