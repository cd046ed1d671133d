/** How a failure is told: one line on what is wrong, one on the way out, and the exit status of its kind. */
import { EXIT_STATUS, toQuarryError } from "../errors.js";

/**
 * Writes an error to stderr.
 *
 * @param isDebug adds the stack and the causes
 * @returns the exit status
 */
export function reportFailure(thrown: unknown, isDebug: boolean): number {
  const error = toQuarryError(thrown);
  const lines = [`error: ${error.message}`];
  if (error.hint !== undefined) lines.push(`hint: ${error.hint}`);
  if (isDebug) {
    let cause: unknown = error;
    while (cause instanceof Error) {
      lines.push("", cause.stack ?? cause.message);
      cause = cause.cause;
    }
  }
  process.stderr.write(`${lines.join("\n")}\n`);
  return error.exitStatus ?? EXIT_STATUS.INTERNAL;
}
