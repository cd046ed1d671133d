/** Runs a user's experiment script, TypeScript or JavaScript, and gives the experiment it exports. */
import { existsSync, statSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import type { Jiti } from "jiti";
import { QuarryError } from "../errors.js";
import { nearest } from "../nearest.js";
import { defineExperiment, type Experiment, hasOwnBaseDir, isExperiment } from "./define.js";
import { isPlainObject, shown } from "./explain.js";
import type { ExperimentInput } from "./options.generated.js";
import { applyOverrides, type Override } from "./overrides.js";

const SCRIPTS = "Give the path of a .ts, .js or .mjs file whose default export is defineExperiment({ … }).";

/**
 * Loads an experiment from a script, with options of the command line put in.
 *
 * @param file the script; its default export is an experiment, plain options, or a function that gives either
 * @throws CONFIG when the script is missing, does not run, or describes no valid experiment
 * @example
 * const experiment = await loadExperiment("experiment.ts", [{ path: "train.args.maxSteps", value: 10 }]);
 */
export async function loadExperiment(file: string, overrides: readonly Override[] = []): Promise<Experiment> {
  const path = resolve(file);
  if (!existsSync(path) || !statSync(path).isFile()) {
    const what = existsSync(path) ? `${file} is no file` : `there is no experiment script ${file} (looked for ${path})`;
    throw new QuarryError("CONFIG", what, { hint: SCRIPTS });
  }
  // What compiles scripts would look for it in another folder.
  if (path.includes("\\")) {
    throw new QuarryError("CONFIG", `${path}: no script can be loaded from a path with a backslash`, {
      hint: "Rename what has the backslash in its name.",
    });
  }
  const value = await settled(exportOf(path, file), file);
  const definition = isExperiment(value) ? value : null;
  const input = definition?.input ?? value;
  if (!isPlainObject(input)) {
    throw new QuarryError("CONFIG", `${file}: the default export is ${shown(value)}, not an experiment`, {
      hint: "Write `export default defineExperiment({ … })`.",
    });
  }
  const baseDir = definition !== null && hasOwnBaseDir(definition) ? definition.baseDir : dirname(path);
  // What comes out of the overrides is checked again as a whole, so its type is only known afterwards.
  return defineExperiment(applyOverrides(input, overrides) as ExperimentInput, { baseDir });
}

/** The default export, or what it gives where it is a function. */
async function exportOf(path: string, file: string): Promise<unknown> {
  const jiti = await loader(path);
  try {
    const exported = defaultOf(await jiti.import(path));
    return typeof exported === "function" ? await (exported as () => unknown)() : exported;
  } catch (thrown) {
    throw scriptError(thrown, path, file);
  }
}

/** Where nothing is left that could settle what the script awaits, Node would end the process without a word. */
async function settled<T>(loading: Promise<T>, file: string): Promise<T> {
  let onIdle = (): void => {};
  const idle = new Promise<never>((_, reject) => {
    const hint = "Look at what it awaits: a promise that nobody resolves, or a timer or socket that is unref'd.";
    onIdle = () => reject(new QuarryError("CONFIG", `${file} waits for something that never comes`, { hint }));
  });
  process.once("beforeExit", onIdle);
  try {
    return await Promise.race([loading, idle]);
  } finally {
    process.off("beforeExit", onIdle);
  }
}

/** What runs a script in TypeScript as well as in JavaScript. */
async function loader(path: string): Promise<Jiti> {
  // `import … from "quarry"` in the script must be this very package, not a second copy whose errors and experiments are
  // strangers, whether this runs from a checkout or is installed anywhere; hence the one import against the arrows.
  const [{ createJiti }, quarry] = await Promise.all([import("jiti"), import("../index.js")]);
  return createJiti(pathToFileURL(path).href, {
    fsCache: false,
    interopDefault: false,
    virtualModules: { quarry: strict(quarry) },
  });
}

function defaultOf(module: unknown): unknown {
  const exported = typeof module === "object" && module !== null && "default" in module ? module.default : undefined;
  // Of a CommonJS script this is all that it exports; compilers put what stood behind `export default` inside.
  return isPlainObject(exported) && "default" in exported ? exported.default : exported;
}

/** A name in the script that Quarry does not export. */
class MissingName extends Error {}

/** What Node itself, or the transpiler, asks of any module. */
const ASKED_OF_ALL = ["__esModule", "default", "then", "toJSON"];

/** The same module; a name that it lacks is told where it is used, for the transpiled script would go on with undefined. */
function strict<Module extends object>(module: Module): Module {
  return new Proxy(module, {
    get(target, name) {
      if (typeof name === "symbol" || name in target || ASKED_OF_ALL.includes(name)) return Reflect.get(target, name);
      const near = nearest(name, Object.keys(target));
      throw new MissingName(`quarry exports no ${name}${near === null ? "" : `; did you mean ${near}?`}`);
    },
  });
}

/** What went wrong in the script, with file and line and without a stack. */
function scriptError(thrown: unknown, path: string, file: string): QuarryError {
  if (thrown instanceof QuarryError) return thrown;
  const { name, message, stack } =
    thrown instanceof Error
      ? thrown
      : { name: "Error", message: typeof thrown === "string" ? thrown : inspect(thrown), stack: "" };
  const syntax = /ParseError: (.*?)\s*\n\s*(.+?):(\d+):(\d+)/s.exec(message);
  if (syntax !== null) {
    const [, what = "", where = path, line = "", column = ""] = syntax;
    return new QuarryError("CONFIG", `${named(where, path, file)}:${line}:${Number(column) + 1}: ${what}`, {
      cause: thrown,
    });
  }
  const missing = /^Cannot find (?:module|package) '([^']+)'/.exec(message);
  if (missing !== null) {
    return new QuarryError("CONFIG", `${file}: cannot find ${missing[1]}, which it imports`, {
      cause: thrown,
      hint: missing[1]?.startsWith(".") ? "Check the path of the import." : `npm install ${missing[1]}`,
    });
  }
  // Nothing of it ran.
  if (message.startsWith("Unknown file extension")) {
    return new QuarryError("CONFIG", `${file}: ${message}`, { cause: thrown, hint: SCRIPTS });
  }
  const place = stack?.split("\n").map((line) => /\(?((?:file:\/\/)?\/[^()]+?):(\d+):\d+\)?$/.exec(line));
  const frame = place?.find((match) => match?.[1]?.endsWith(path));
  const text = name === "Error" || name === "TypeError" ? readable(message) : `${name}: ${message}`;
  return new QuarryError("CONFIG", `${file}${frame == null ? "" : `:${frame[2]}`}: ${text}`, {
    cause: thrown,
    hint:
      thrown instanceof MissingName
        ? "Correct the name where it is imported."
        : "The script itself failed; --debug shows the trace.",
  });
}

/** The transpiler calls imports `(0 , _quarry.source)`; the user wrote `source`. */
function readable(message: string): string {
  return message.replace(/\(0 ?, ?_[\w$]+\.([\w$]+)\)/g, "$1");
}

function named(where: string, path: string, file: string): string {
  return where === path ? file : relative(process.cwd(), where);
}
