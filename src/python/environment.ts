/** Finds or makes the Python environment that every worker runs in; the only place that reads QUARRY_PYTHON. */
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { QuarryError } from "../errors.js";
import { userCaches } from "../home.js";
import { startFailure } from "./no-start.js";

/** An interpreter that has what Quarry needs. */
export interface PythonEnvironment {
  /** Path of the interpreter. */
  readonly executable: string;
  /** The complete environment for child processes; the runtime is on its PYTHONPATH. */
  readonly env: Readonly<Record<string, string>>;
}

/** Packages beyond what a worker needs: `demo` is the embedded model, `faiss` approximate indexes, `test` what the tests use. */
export type PythonExtra = "demo" | "faiss" | "test";

/** What `findPython` is asked for. */
export interface FindPythonOptions {
  readonly extras?: readonly PythonExtra[];
  /** Makes or completes the environment where it lacks something; needs a network then. */
  readonly install?: boolean;
  /** Takes each line of the set-up's progress. */
  readonly onLine?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** Written last into a folder by install.py: who made it, for which interpreter, with which requirements. */
interface Stamp {
  readonly python?: string;
  readonly sets?: Readonly<Record<string, string>>;
}

const packageRoot = fileURLToPath(new URL("../..", import.meta.url));
const runtimeFolder = join(packageRoot, "py_runtime");
const installer = join(runtimeFolder, "install.py");
const constraints = join(runtimeFolder, "constraints.txt");
const oldestPython = [3, 10] as const;
/**
 * A virtual environment's interpreter knows its home; that of another Python leaves it without its standard library. It
 * asks nobody what comes next after its work. And no module is taken from the working folder, which may be a model's
 * (before Python 3.11 the runtime itself sees to it).
 */
const ISOLATED: NodeJS.ProcessEnv = { PYTHONHOME: undefined, PYTHONINSPECT: undefined, PYTHONSAFEPATH: "1" };

/**
 * The interpreter that Quarry's processes run in: the folder in QUARRY_PYTHON, else `.python` in a checkout, else one in
 * the user's cache. Costs a few file reads when the environment is as it should be.
 *
 * @throws QuarryError ENVIRONMENT when it is missing or incomplete and `install` is not set, or cannot be made.
 * @example
 * const python = await findPython({ extras: ["demo"], install: true, onLine: console.log });
 * await execa(python.executable, ["-m", "quarry_runtime", "demo", "--out", "demo"], { env: python.env });
 */
export async function findPython(options: FindPythonOptions = {}): Promise<PythonEnvironment> {
  const folder = environmentFolder();
  const sets = requirementSets(options.extras ?? []);
  const executable = join(folder, "bin", "python");
  const python = { executable, env: childEnvironment() };
  await checkSearchPath(executable);
  if (isComplete(folder, executable, sets)) return python;
  if (options.install) {
    await install(folder, sets, options);
    return python;
  }
  const lacking = await missingRequirements(executable, sets);
  if (lacking === null && isForbidden(executable)) {
    throw new QuarryError("ENVIRONMENT", `This user may not run ${executable}, or what it leads to.`, {
      hint: "Name another environment in QUARRY_PYTHON, or have it and the Python below it opened to this user.",
    });
  }
  if (lacking === null) {
    throw new QuarryError("ENVIRONMENT", `No Python environment in ${folder}.`, { hint: setupHint(options.extras) });
  }
  if (lacking.length > 0) {
    throw new QuarryError("ENVIRONMENT", `The Python environment in ${folder} lacks ${lacking.join(", ")}.`, {
      hint: setupHint(options.extras),
    });
  }
  return python;
}

/** Whether this is a clone: the compiler's configuration is not part of the npm package. */
function isCheckout(): boolean {
  return existsSync(join(packageRoot, "tsconfig.json"));
}

/** The folder of the environment, which may not exist yet. */
function environmentFolder(): string {
  if (process.env.QUARRY_PYTHON) return resolve(process.env.QUARRY_PYTHON);
  if (isCheckout()) return join(packageRoot, ".python");
  const versions = requirementSets(["demo", "test"]).map(({ hash }) => hash);
  return join(userCaches("QUARRY_PYTHON"), "quarry", `python-${sha256(versions.join("\n")).slice(0, 12)}`);
}

/** The lists of requirements that are asked for, each with the hash that a stamp must carry. */
function requirementSets(extras: readonly PythonExtra[]): { name: string; path: string; hash: string }[] {
  const pins = readFileSync(constraints, "utf8");
  return ["runtime", ...extras].map((name) => {
    const path = join(runtimeFolder, "requirements", `${name}.txt`);
    return { name, path, hash: sha256(`${readFileSync(path, "utf8")}\n${pins}`).slice(0, 16) };
  });
}

function isComplete(folder: string, executable: string, sets: ReturnType<typeof requirementSets>): boolean {
  try {
    const stamp = JSON.parse(readFileSync(join(folder, "quarry-environment.json"), "utf8")) as Stamp;
    // A system upgrade may put another Python behind the same name, without the packages.
    if (realpathSync(executable) !== stamp.python) return false;
    return sets.every(({ name, hash }) => stamp.sets?.[name] === hash);
  } catch {
    return false; // missing, torn or without interpreter: all mean that there is work to do
  }
}

function isForbidden(executable: string): boolean {
  try {
    accessSync(executable, constants.X_OK);
    return false;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EACCES";
  }
}

/** What an interpreter lacks, or null when it does not run. */
async function missingRequirements(
  executable: string,
  sets: ReturnType<typeof requirementSets>,
): Promise<string[] | null> {
  const args = [installer, "check", ...sets.flatMap(({ path }) => ["--requirements", path])];
  const result = await execa(executable, args, { env: ISOLATED, reject: false, timeout: 60_000 });
  const failure = startFailure(executable, result.stderr ?? "", result);
  if (failure !== null) throw failure;
  return result.failed ? null : (JSON.parse(result.stdout) as string[]);
}

/** One module of each kind that another Python's would break: pure, compiled, and a package that is both. */
const SEARCHED = `
import csv, json, importlib.metadata, importlib.util
if importlib.util.find_spec("numpy"): import numpy
`;

/** @throws QuarryError ENVIRONMENT when it is the user's PYTHONPATH that keeps the interpreter from running. */
async function checkSearchPath(executable: string): Promise<void> {
  const named = process.env.PYTHONPATH;
  if (!named) return;
  const runsWith = (path: string | undefined) =>
    execa(executable, ["-c", SEARCHED], {
      env: { ...ISOLATED, PYTHONPATH: path },
      reject: false,
      timeout: 60_000,
    });
  const result = await runsWith(named);
  if (!result.failed || (await runsWith(undefined)).failed) return;
  const last = result.stderr.trim().split("\n").at(-1) ?? "";
  throw new QuarryError("ENVIRONMENT", `${executable} does not run with PYTHONPATH=${named}: ${last}`, {
    hint: "Unset PYTHONPATH, or take out what belongs to another Python.",
  });
}

async function install(
  folder: string,
  sets: ReturnType<typeof requirementSets>,
  options: FindPythonOptions,
): Promise<void> {
  const base = await basePython(folder);
  const hashes = JSON.stringify(Object.fromEntries(sets.map(({ name, hash }) => [name, hash])));
  const requirements = sets.flatMap(({ path }) => ["--requirements", path]);
  const args = [installer, "install", "--folder", folder, "--sets", hashes, "--constraints", constraints];
  const child = execa(base, [...args, ...requirements], {
    reject: false,
    stdin: "ignore",
    env: { ...ISOLATED, PYTHONUNBUFFERED: "1" },
    ...(options.signal ? { cancelSignal: options.signal } : {}),
  });
  const last: string[] = [];
  for await (const line of child) {
    options.onLine?.(line);
    last.push(line);
    if (last.length > 12) last.shift();
  }
  const result = await child;
  if (result.isCanceled) throw new QuarryError("INTERRUPTED", "The Python set-up was stopped; run it again to finish.");
  if (result.failed) throw setupFault(folder, result.stderr, last);
}

/** The error that install.py names in the last line of stderr, with pip's own lines about it. */
function setupFault(folder: string, stderr: string, last: readonly string[]): QuarryError {
  const reasons = last.filter((line) => /^error|no space left/i.test(line.trim())).join("\n");
  try {
    const fault = JSON.parse(stderr.trim().split("\n").at(-1) ?? "") as { message: string; hint: string };
    const message = reasons ? `${fault.message}\n${reasons}` : fault.message;
    return new QuarryError("ENVIRONMENT", message, { hint: fault.hint, isRetryable: true });
  } catch {
    const message = `Setting up Python in ${folder} failed: ${stderr.trim() || last.join("\n") || "no output"}`;
    return new QuarryError("ENVIRONMENT", message, {
      hint: "Run the same command again; it goes on where it stopped.",
    });
  }
}

/** The interpreter that does the set-up: the folder's own when it is somebody's environment, else python3 on PATH. */
async function basePython(folder: string): Promise<string> {
  const own = join(folder, "bin", "python");
  const isForeign = isFilled(folder) && !existsSync(join(folder, "quarry-environment.json")) && existsSync(own);
  const candidate = isForeign ? own : "python3";
  const args = ["-c", "import sys; print(sys.version_info[0], sys.version_info[1])"];
  const result = await execa(candidate, args, { env: ISOLATED, reject: false, timeout: 60_000 });
  const hint = `Install Python ${oldestPython.join(".")} or newer with venv and pip (Debian and Ubuntu: apt install python3 python3-venv), or point QUARRY_PYTHON at an environment.`;
  if (result.failed) {
    await checkSearchPath(candidate);
    const failure = startFailure(candidate, result.stderr ?? "", result);
    if (failure !== null) throw failure;
    throw new QuarryError("ENVIRONMENT", `${candidate} does not run.`, { hint });
  }
  const [major = 0, minor = 0] = result.stdout.trim().split(" ").map(Number);
  if (major < oldestPython[0] || (major === oldestPython[0] && minor < oldestPython[1])) {
    throw new QuarryError("ENVIRONMENT", `${candidate} is Python ${major}.${minor}.`, { hint });
  }
  return candidate;
}

function isFilled(folder: string): boolean {
  return existsSync(folder) && readdirSync(folder).length > 0;
}

/**
 * glibc gives every large block back as soon as it is free, and the kernel clears its pages again for the next layer: on a
 * CPU 5 to 8 % of a forward pass, and more in caches. Blocks stay, in huge pages where the system lends them on request.
 * Other C libraries and older ones pass over it; py_runtime's life.py says the same to workers that join.
 */
const ALLOCATOR = [
  "glibc.malloc.hugetlb=1",
  "glibc.malloc.mmap_threshold=1073741824",
  "glibc.malloc.trim_threshold=4294967296",
].join(":");

function childEnvironment(): Record<string, string> {
  const inherited = Object.entries({ ...process.env, ...ISOLATED }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  const path = [runtimeFolder, process.env.PYTHONPATH].filter(Boolean).join(delimiter);
  return {
    GLIBC_TUNABLES: ALLOCATOR,
    ...Object.fromEntries(inherited),
    PYTHONPATH: path,
    PYTHONUNBUFFERED: "1",
    // transformers reads docstrings, which -OO takes away, when it is imported.
    PYTHONOPTIMIZE: "",
    TOKENIZERS_PARALLELISM: "false",
  };
}

function setupHint(extras: readonly PythonExtra[] = []): string {
  // Not npm run setup: a project that Quarry is installed into has no such script.
  return `Run \`npx quarry setup${extras.length > 0 ? ` --extra ${extras.join(" ")}` : ""}\`.`;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
