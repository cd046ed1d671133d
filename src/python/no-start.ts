/** What is told of an interpreter that does not come as far as its first line. */
import { QuarryError } from "../errors.js";

/** The way out where Python does not start. */
export const START_HINT = "Look at the environment variables that begin with PYTHON, then at `npx quarry setup`.";

/**
 * Python's own reason for not starting, as with PYTHONHASHSEED=wrong, or null where it was at work already: whatever
 * ended it then is no matter of its start.
 *
 * @param who the interpreter, as the message names it
 * @param stderr all that it said
 */
export function startFailure(who: string, stderr: string, cause?: unknown): QuarryError | null {
  const reason = /^(Fatal Python error: .*)\nPython runtime state: (?!initialized)/m.exec(stderr)?.[1];
  if (reason === undefined) return null;
  return new QuarryError("ENVIRONMENT", `${who} does not run: ${reason}`, { hint: START_HINT, cause });
}
