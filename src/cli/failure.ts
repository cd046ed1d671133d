/** How a failure is told: one line on what is wrong, one on the way out, and the exit status of its kind. */
import { QuarryError, toQuarryError } from "../errors.js";
import { cleanLines } from "../report/text-width.js";

/**
 * Writes an error to stderr.
 *
 * @param isDebug adds the stack and the causes
 * @returns the exit status
 */
export function reportFailure(thrown: unknown, isDebug: boolean): number {
  const error = isDiskFull(thrown) ? noSpace(thrown) : toQuarryError(thrown);
  const lines = [`error: ${error.message}`];
  if (error.hint !== undefined) lines.push(`hint: ${error.hint}`);
  if (isDebug) {
    let cause: unknown = error;
    while (cause instanceof Error) {
      lines.push("", cause.stack ?? cause.message);
      cause = cause.cause;
    }
  }
  // Messages quote data, file names and other people's models.
  process.stderr.write(`${cleanLines(lines.join("\n"))}\n`);
  return error.exitStatus;
}

/** Why a flag of a command is refused. */
export function unfitFlag(command: string, flag: string, expected: string, saw: string): QuarryError {
  return new QuarryError("CONFIG", `--${flag}: expected ${expected}, saw ${saw}`, { hint: `quarry ${command} --help` });
}

function isDiskFull(thrown: unknown): thrown is NodeJS.ErrnoException {
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : "";
  return !(thrown instanceof QuarryError) && (code === "ENOSPC" || code === "EDQUOT");
}

/** What is written nowhere else with words of its own: as a rule the output, which may be a file. */
function noSpace(cause: NodeJS.ErrnoException): QuarryError {
  return new QuarryError("ENVIRONMENT", `No space left for ${cause.path ?? "the output"} (${cause.code}).`, {
    hint: "Free some space, or send the output elsewhere.",
    cause,
  });
}
