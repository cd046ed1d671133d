/** The wording of the data plane's failures, in one place: where it happened, what was seen, what mends it. */
import { MORE_FILES, QuarryError } from "../errors.js";

/** How many examples a message lists before it only counts. */
export const EXAMPLE_LIMIT = 10;

/** A fault in a user's file, with the place it was seen at. */
export function dataError(file: string, line: number, message: string, hint: string, cause?: unknown): QuarryError {
  return new QuarryError("DATA", `${file}:${line}: ${message}`, { hint, cause });
}

/** A fault of a whole file. */
export function fileError(file: string, message: string, hint: string, cause?: unknown): QuarryError {
  return new QuarryError("DATA", `${file}: ${message}`, { hint, cause });
}

/** A source that cannot be opened, looked at or read; as a fault of the data, unless it is this process that is at fault. */
export function sourceError(path: string, cause: unknown): QuarryError {
  const code = systemCode(cause);
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new QuarryError("CONFIG", `${path}: no such file.`, {
      hint: "Correct the path; relative paths start at the folder of the experiment script.",
      cause,
    });
  }
  const message = `${path}: cannot be read (${code}).`;
  if (isOutOfFiles(code)) return new QuarryError("ENVIRONMENT", message, { hint: MORE_FILES, cause });
  const hint = "Look at its permissions, at those of its folders, and at where links lead.";
  return new QuarryError("DATA", message, { hint, cause });
}

/** A cache file that does not hold what was written into it. */
export function integrityError(path: string, what: string): QuarryError {
  return new QuarryError("INTEGRITY", `${path}: ${what} is damaged: its checksum does not match.`, {
    hint: "Run the same command again: the damaged cache entry is rebuilt from its source.",
  });
}

const UNWRITABLE = new Set([
  "EACCES",
  "EPERM",
  "EROFS",
  "ENOSPC",
  "EDQUOT",
  "EFBIG",
  "ENOTDIR",
  "EIO",
  "ENAMETOOLONG",
  "EMFILE",
  "ENFILE",
  "ELOOP",
]);

/** The system's code of a failure, e.g. "ENOENT", or "". */
export function systemCode(thrown: unknown): string {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : "";
}

/** Whether a failed call says that no such file is there. */
export function isAbsent(thrown: unknown): boolean {
  return ["ENOENT", "ENOTDIR", "EISDIR"].includes(systemCode(thrown));
}

/** Whether a failed call says that this user may not write there; who only reads has no need to. */
export function isReadOnly(thrown: unknown): boolean {
  return ["EACCES", "EPERM", "EROFS"].includes(systemCode(thrown));
}

/** A cache file that may be sound, but cannot be read. */
export function readError(path: string, cause: unknown): QuarryError {
  const code = systemCode(cause);
  return new QuarryError("ENVIRONMENT", `${path} cannot be read (${code}).`, {
    hint: isOutOfFiles(code) ? MORE_FILES : "Look at its permissions and its disk, or remove it: it is built again.",
    cause,
  });
}

const LARGER_FILES =
  "Raise the limit on the size of files, e.g. with ulimit -f unlimited, and give the same command again.";

function isOutOfFiles(code: string): boolean {
  return code === "EMFILE" || code === "ENFILE";
}

/** Turns a failed call below the cache folder into an error that names the folder and the way out. */
export function cacheError(cacheDir: string, thrown: unknown): unknown {
  const code = systemCode(thrown);
  if (thrown instanceof QuarryError || !(UNWRITABLE.has(code) || code === "ENOENT" || code === "EEXIST")) return thrown;
  // A call that names a path elsewhere failed for another reason than the cache; making the folder names those above it.
  const path = thrown instanceof Error && "path" in thrown && typeof thrown.path === "string" ? thrown.path : cacheDir;
  if (!path.startsWith(cacheDir) && !cacheDir.startsWith(path)) return thrown;
  const isFull = code === "ENOSPC" || code === "EDQUOT";
  const reason = isFull ? "is full" : "cannot be used";
  const mend = isFull ? "Free some space" : "Look at its permissions and its disk";
  return new QuarryError("ENVIRONMENT", `The cache folder ${cacheDir} ${reason} (${code}).`, {
    hint: isOutOfFiles(code)
      ? MORE_FILES
      : code === "EFBIG"
        ? LARGER_FILES
        : `${mend}, or name another folder with the environment variable QUARRY_CACHE or the option cacheDir.`,
    cause: thrown,
  });
}
