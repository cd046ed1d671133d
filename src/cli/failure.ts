/** How a failure is told: one line on what is wrong, one on the way out, and the exit status of its kind. */
import { MORE_FILES, QuarryError, toQuarryError } from "../errors.js";
import { cleanLines } from "../report/text-width.js";

/**
 * Writes an error to stderr.
 *
 * @param isDebug adds the stack and the causes
 * @returns the exit status
 */
export function reportFailure(thrown: unknown, isDebug: boolean): number {
  const error = ofSurroundings(thrown) ?? toQuarryError(thrown);
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

/** What any call may meet, and no place has words of its own for; null for anything else. */
function ofSurroundings(thrown: unknown): QuarryError | null {
  if (isOfWorkingFolder(thrown)) {
    return new QuarryError("ENVIRONMENT", "The working folder is gone, or this user may not look at it.", {
      hint: "Change into a folder that is there (cd), and give the command again.",
      cause: thrown,
    });
  }
  if (thrown instanceof QuarryError || !(thrown instanceof Error)) return null;
  const { code = "" } = thrown as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") return noSpace(thrown);
  if (code !== "EMFILE" && code !== "ENFILE") return null;
  return new QuarryError("ENVIRONMENT", `Too many open files (${thrown.message}).`, {
    hint: MORE_FILES,
    cause: thrown,
  });
}

/** A script may have asked for it, whose failures are told as the script's. */
function isOfWorkingFolder(thrown: unknown): boolean {
  for (let cause = thrown; cause instanceof Error; cause = cause.cause) {
    if ("syscall" in cause && cause.syscall === "uv_cwd") return true;
  }
  return false;
}

/** What is written nowhere else with words of its own: as a rule the output, which may be a file. */
function noSpace(cause: NodeJS.ErrnoException): QuarryError {
  return new QuarryError("ENVIRONMENT", `No space left for ${cause.path ?? "the output"} (${cause.code}).`, {
    hint: "Free some space, or send the output elsewhere.",
    cause,
  });
}
