/** One line on stderr that is written over while something takes long; only for a terminal. */

import type { CommandProgress } from "../index.js";
import { oneLine } from "../report/text-width.js";

const PACE_MS = 200;

/** A line that says how far something is. */
export interface ProgressLine<Progress> {
  readonly show: (progress: Progress) => void;
  /** Takes the line away, for whatever is printed next. */
  clear(): void;
}

/** What a command of Python's says of itself. */
export function commandProgress(): ProgressLine<CommandProgress> | null {
  return progressLine(
    ({ what, done, total }) => `${what}${total > 0 ? `: ${Math.floor((100 * done) / total)} %` : ""}`,
  );
}

/**
 * Makes a line; null where stderr is no terminal.
 *
 * @param words what it says of some progress
 */
export function progressLine<Progress>(words: (progress: Progress) => string): ProgressLine<Progress> | null {
  if (!process.stderr.isTTY) return null;
  let next = 0;
  return {
    show: (progress) => {
      if (performance.now() < next) return;
      next = performance.now() + PACE_MS;
      // A line that the terminal breaks could not be written over.
      const text = oneLine(words(progress)).slice(0, (process.stderr.columns ?? 80) - 1);
      process.stderr.write(`\r\x1b[K${text}`);
    },
    clear: () => void process.stderr.write("\r\x1b[K"),
  };
}
