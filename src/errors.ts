/** The error family: every failure a user can meet has a kind, an exit status, a message and a way out. */

/**
 * Kinds of failure and the exit status that each ends the process with.
 * The Python runtime raises the same codes (py_runtime/quarry_runtime/errors.py).
 */
export const EXIT_STATUS = {
  INTERNAL: 1,
  CONFIG: 2,
  DATA: 3,
  ENVIRONMENT: 4,
  WORKER: 5,
  INTEGRITY: 6,
  PROTOCOL: 7,
  INTERRUPTED: 130,
} as const;

/** The hint where a limit on open files was met. */
export const MORE_FILES = "Raise the limit on open files, e.g. with ulimit -n 4096, and give the same command again.";

/** The kind of a failure, shared with the Python runtime. */
export type ErrorCode = keyof typeof EXIT_STATUS;

/** What an error may carry beside its message. */
export interface QuarryErrorOptions {
  /** The command or edit that mends the failure. */
  readonly hint?: string;
  /** The failure underneath, shown with `--debug`. */
  readonly cause?: unknown;
  /** Whether doing the same work again may succeed. */
  readonly isRetryable?: boolean;
}

/**
 * A failure that a user can act on.
 *
 * @example
 * throw new QuarryError("DATA", "corpus.jsonl:3: no field \"_id\"", { hint: "Give each line an id." });
 */
export class QuarryError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly isRetryable: boolean;

  constructor(code: ErrorCode, message: string, options: QuarryErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "QuarryError";
    this.code = code;
    this.hint = options.hint;
    this.isRetryable = options.isRetryable ?? false;
  }

  /** The status the process ends with when this error reaches the command line. */
  get exitStatus(): number {
    return EXIT_STATUS[this.code];
  }
}

/** What ends work that a user, or whoever called, asked to stop. */
export function interrupted(options: QuarryErrorOptions = {}): QuarryError {
  return new QuarryError("INTERRUPTED", "Stopped on request.", options);
}

/**
 * Ends work that was called off; in the place of `signal.throwIfAborted()`, which throws whatever the caller gave as
 * reason.
 *
 * @throws QuarryError INTERRUPTED with the reason as its cause.
 */
export function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw interrupted({ cause: signal.reason });
}

const TOLD = new RegExp(`^(${Object.keys(EXIT_STATUS).join("|")}): (.*(?:\\n {4}.*)*)(?:\\n {2}(\\S.*))?$`, "gm");

/**
 * The error with which a command of the Python runtime ended, or null where it was none that the runtime expects. It is
 * the last on stderr, as `CODE: message` and an indented hint; before it stands whatever libraries said.
 */
export function toldError(stderr: string, cause?: unknown): QuarryError | null {
  const [, code = "INTERNAL", told = "", hint] = [...stderr.matchAll(TOLD)].at(-1) ?? [];
  if (code === "INTERNAL") return null;
  const message = told.replaceAll("\n    ", "\n");
  return new QuarryError(code as ErrorCode, message, { cause, ...(hint === undefined ? {} : { hint }) });
}

/** Wraps whatever was thrown, so that callers deal with one family only. */
export function toQuarryError(thrown: unknown): QuarryError {
  if (thrown instanceof QuarryError) return thrown;
  if (thrown instanceof Error && thrown.name === "AbortError") {
    return interrupted({ cause: thrown });
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new QuarryError("INTERNAL", message, { cause: thrown, hint: "Run again with --debug and report the trace." });
}
