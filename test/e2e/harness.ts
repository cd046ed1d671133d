/** What the end-to-end tests share: a temporary workplace with a tiny model and a collection, and the real command line. */
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { type CollectionOptions, writeCollection } from "../fixtures/collection.js";
import { writeTinyModel } from "../fixtures/tiny-model.js";
import { type Finished, serve, serverPid } from "./served.js";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MAIN = join(ROOT, "dist/cli/main.js");

/** The command line at work. */
export type Running = Promise<Finished> & { readonly pid?: number | undefined; kill(signal: NodeJS.Signals): boolean };

/** A folder of its own with everything that an experiment needs. */
export interface Workplace {
  readonly folder: string;
  readonly model: string;
  /** A tiny cross-encoder, made when it is asked for. */
  crossEncoder(): Promise<string>;
  readonly collection: string;
  /** Runs the command line in the folder and waits; a process that stays does it, which takes a tenth of the time. */
  quarry(...args: readonly string[]): Promise<Finished>;
  /** Ctrl-C for what `quarry` runs. */
  interrupt(): void;
  /** Starts a process of the command line in the folder, the leader of a group as a terminal's foreground job is. */
  start(...args: readonly string[]): Running;
  /** The same below a shell script, which calls it as `"$@"`. */
  startIn(script: string, ...args: readonly string[]): Running;
  /** Writes experiment.ts; `body` is what stands inside defineExperiment({ … }). */
  experiment(body: string, name?: string): Promise<string>;
  /** Processes of the runtime in the folder, but for what `quarry` keeps to fork from. */
  survivors(): Promise<LiveProcess[]>;
  remove(): Promise<void>;
}

/** Makes a workplace. */
export async function openWorkplace(options: CollectionOptions = {}): Promise<Workplace> {
  const folder = await mkdtemp(join(tmpdir(), "quarry-e2e-"));
  const model = await writeTinyModel(join(folder, "model"));
  const collection = await writeCollection(join(folder, "collection"), options);
  // A path as seen from the script: workers of all workplaces have one environment, so they are forked from one process.
  // Scripts that lie elsewhere are to be given a --cacheDir.
  const env = { HF_HUB_OFFLINE: "1", CI: "true", QUARRY_CACHE: "cache", NODE_ENV: "production" };
  const settings = { cwd: folder, reject: false, detached: true, env } as const;
  const start = (...args: readonly string[]): Running => execa(process.execPath, [MAIN, ...args], settings);
  return {
    folder,
    model,
    collection,
    crossEncoder: () => writeTinyModel(join(folder, "cross-encoder"), "--arch", "cross"),
    start,
    startIn: (script, ...args) => execa("bash", ["-c", script, "bash", process.execPath, MAIN, ...args], settings),
    quarry: (...argv) => serve({ argv, folder, env }),
    interrupt: () => void process.kill(serverPid() as number, "SIGINT"),
    experiment: async (body, name = "experiment") => {
      const file = join(folder, `${name}.ts`);
      const builders =
        "biEncoder, binary, crossEncoder, defineExperiment, demoModel, demoSource, multiLevel, source, step, suite";
      await writeFile(file, `import { ${builders} } from "quarry";\nexport default defineExperiment({\n${body}\n});\n`);
      return file;
    },
    survivors: async () =>
      (await findProcesses("quarry_runtime", folder)).filter(({ parent }) => parent !== serverPid()),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** A process as /proc shows it. */
export interface LiveProcess {
  readonly pid: number;
  readonly parent: number;
  /** The name, which a fork gives itself, before the command line, which is that of what it was forked from. */
  readonly command: string;
}

/** Living processes whose name or command line holds a piece of text, e.g. "quarry_runtime" or "quarry-worker". */
export async function findProcesses(piece: string, workingFolder?: string): Promise<LiveProcess[]> {
  const found: LiveProcess[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const read = (file: string): Promise<string> => readFile(`/proc/${entry}/${file}`, "utf8").catch(() => "");
    const command = `${(await read("comm")).trim()} ${await read("cmdline")}`.replaceAll("\0", " ");
    if (!command.includes(piece)) continue;
    // Other tests run at the same time; a working folder tells whose process it is.
    if (workingFolder !== undefined && (await readlink(`/proc/${entry}/cwd`).catch(() => "")) !== workingFolder)
      continue;
    const parent = Number(/^PPid:\s+(\d+)/m.exec(await read("status"))?.[1]);
    found.push({ pid: Number(entry), parent, command });
  }
  return found;
}

/** Polls until a condition holds; fails after the limit. */
export async function until(condition: () => Promise<boolean>, limitMs: number, what: string): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`${what}: not within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
