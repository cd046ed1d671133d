/** The folder of a run: one owner, one configuration, a journal of what is done, and files that are whole or absent. */
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { isAbsolute, join, relative, resolve, sep } from "node:path";
import { QuarryError } from "../errors.js";
import { makeFolder } from "../make-folder.js";
import type { EventStream } from "../report/events.js";
import { differences } from "./difference.js";
import { diskError, temporarySuffix, writeFileDurably } from "./durable.js";
import { type Journal, openJournal, readJournal } from "./journal.js";
import { acquireLock, isLocked, type Lock } from "./lock.js";
import { addFacts, type Facts } from "./provenance.js";
import { EventRecord } from "./recorder.js";

const files = { lock: "run.lock", config: "config.json", journal: "journal.jsonl", events: "events.jsonl" } as const;
const maxListed = 10;

/** An open run folder; nobody else can open it until it is closed. */
export interface RunDir {
  /** Absolute. */
  readonly path: string;
  /** Whether an earlier process began this run with the same configuration. */
  readonly isResumed: boolean;
  readonly journal: Pick<Journal, "entries" | "append">;
  /** Path of a file in this folder; refuses one outside. */
  file(...parts: string[]): string;
  /** Written durably: whole or not at all. */
  writeJson(name: string, value: unknown): Promise<void>;
  /** Null where there is no such file. */
  readJson(name: string): Promise<unknown>;
  /**
   * Writes what `change` makes of a file's content, null where there is no such file, and gives it back. Parts of a run
   * that do so at the same time take turns, so that none loses what another one wrote.
   *
   * @example
   * await runDir.updateJson<Sizes>("sizes.json", (before) => ({ ...before, [name]: size }));
   */
  updateJson<T>(name: string, change: (before: T | null) => T): Promise<T>;
  /**
   * Adds facts to environment.json: versions, seed, fingerprints. Objects are joined key by key, newer values win.
   *
   * @example
   * await runDir.recordEnvironment({ seed: 42, data: { "evaluate test": fingerprint } });
   */
  recordEnvironment(facts: Facts): Promise<void>;
  /** Writes the run's events to events.jsonl from now on. */
  recordEvents(events: EventStream): void;
  close(): Promise<void>;
}

export interface RunDirOptions {
  readonly path: string;
  /** Everything that determines results, as JSON; a folder holds the results of one configuration only. */
  readonly config: unknown;
  /** Paths of the options that the journal's entries depend on; default: all, whatever the journal holds. */
  readonly bound?: (entries: Journal["entries"]) => readonly string[];
}

async function readJsonFile(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw thrown;
  }
  try {
    return JSON.parse(text);
  } catch (thrown) {
    throw new QuarryError("INTEGRITY", `${path} is not JSON: ${(thrown as Error).message}.`, {
      hint: "Restore the file from a copy, or choose another folder with --runDir.",
      cause: thrown,
    });
  }
}

/** By this the runtime's durable.py names a folder that a new one takes the place of. */
const replacedSuffix = ".quarry-old";
const isTemporary = (name: string) => name.endsWith(temporarySuffix) || name.endsWith(replacedSuffix);
const isOurs = (name: string) => name.startsWith(files.lock) || isTemporary(name);

/** Removes temporary files and folders of a process that was killed; only called under the lock. */
async function sweep(path: string): Promise<void> {
  for (const name of await readdir(path, { recursive: true })) {
    // Those of the lock may belong to a live process that is asking for it right now.
    if (isTemporary(name) && !name.startsWith(`.${files.lock}`))
      await rm(join(path, name), { recursive: true, force: true }).catch(() => {});
  }
}

function refuseDifferent(path: string, changed: readonly string[]): QuarryError {
  const listed = changed.slice(0, maxListed);
  if (changed.length > maxListed) listed.push(`… and ${changed.length - maxListed} more`);
  return new QuarryError(
    "CONFIG",
    `${path} holds the results of a different experiment:\n${listed.map((line) => `  ${line}`).join("\n")}`,
    { hint: "Choose another folder with --runDir, or set these options back to resume." },
  );
}

const codeOf = (thrown: unknown): string => (thrown as NodeJS.ErrnoException).code ?? "";

const IN_THE_WAY: Readonly<Record<string, string>> = {
  ENOTDIR: "it lies below a file",
  ELOOP: "its symbolic links lead in a circle",
  ENOENT: "no folder can be made there, or a symbolic link leads to nothing",
};

/** Makes the folder, or says what stands in the way of it. */
async function makePlace(path: string): Promise<void> {
  let what: string | undefined = "it is a file";
  let cause: unknown;
  try {
    makeFolder(path);
    if ((await stat(path)).isDirectory()) return;
  } catch (thrown) {
    what = IN_THE_WAY[codeOf(thrown)];
    if (what === undefined) throw thrown;
    cause = thrown;
  }
  throw new QuarryError("CONFIG", `${path} cannot be a run folder: ${what}.`, {
    hint: "Choose an empty or new folder with --runDir.",
    cause,
  });
}

/** Refuses a folder that holds something else than a run. */
async function refuseStrangers(path: string): Promise<void> {
  const strangers = (await readdir(path)).filter((name) => !isOurs(name));
  if (strangers.length === 0) return;
  throw new QuarryError("CONFIG", `${path} is not a run folder: it holds ${strangers.slice(0, 3).join(", ")}.`, {
    hint: "Choose an empty or new folder with --runDir.",
  });
}

/** Differences in what the journal's entries were made with; the rest may still change. */
function boundDifferences(earlier: unknown, options: RunDirOptions, entries: Journal["entries"]): string[] {
  const changed = differences(earlier, JSON.parse(JSON.stringify(options.config ?? null)));
  const bound = options.bound?.(entries);
  if (bound === undefined) return changed;
  return changed.filter((difference) => {
    const path = difference.replace(/:.*/s, ".").replaceAll("[", ".");
    // An option is another one too where all that it stands in came or went.
    return bound.some((option) => path.startsWith(`${option}.`) || `${option}.`.startsWith(path));
  });
}

class OpenRunDir implements RunDir {
  #isClosed = false;
  /** Updates wait for each other. */
  #lastUpdate: Promise<unknown> = Promise.resolve();

  constructor(
    readonly path: string,
    readonly isResumed: boolean,
    readonly journal: Journal,
    private readonly record: EventRecord,
    private readonly lock: Lock,
  ) {}

  file(...parts: string[]): string {
    const target = resolve(this.path, ...parts);
    const inside = relative(this.path, target);
    if (inside === ".." || inside.startsWith(`..${sep}`) || isAbsolute(inside)) {
      throw new QuarryError("INTERNAL", `${target} is outside the run folder ${this.path}.`);
    }
    return target;
  }

  writeJson(name: string, value: unknown): Promise<void> {
    return writeFileDurably(this.file(name), `${JSON.stringify(value, null, 2)}\n`);
  }

  readJson(name: string): Promise<unknown> {
    return readJsonFile(this.file(name));
  }

  updateJson<T>(name: string, change: (before: T | null) => T): Promise<T> {
    const update = this.#lastUpdate.then(async () => {
      const after = change((await this.readJson(name)) as T | null);
      await this.writeJson(name, after);
      return after;
    });
    this.#lastUpdate = update.catch(() => {});
    return update;
  }

  recordEnvironment(facts: Facts): Promise<void> {
    return addFacts(this, facts);
  }

  recordEvents(events: EventStream): void {
    this.record.record(events);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      await this.record.close();
    } finally {
      try {
        await this.journal.close();
      } finally {
        await this.lock.release();
      }
    }
  }
}

/**
 * Opens the folder of a run, or makes it.
 *
 * @throws QuarryError CONFIG when another process uses it, when it holds results of another configuration (the message
 *   lists `path: old → new`), or when it is no run folder; INTEGRITY when its files are damaged; ENVIRONMENT when the
 *   disk refuses.
 */
export async function openRunDir(options: RunDirOptions): Promise<RunDir> {
  const path = resolve(options.path);
  let lock: Lock | null = null;
  let journal: Journal | null = null;
  try {
    await makePlace(path);
    lock = await acquireLock(join(path, files.lock));
    await sweep(path);
    const configPath = join(path, files.config);
    const config = `${JSON.stringify(options.config ?? null, null, 2)}\n`;
    const earlier = await readJsonFile(configPath);
    if (earlier === null) {
      await refuseStrangers(path);
      // Before anything else of the run, so that a folder cut short here is still known for what it is.
      await writeFileDurably(configPath, config);
    }
    journal = await openJournal(join(path, files.journal));
    if (earlier !== null) {
      const changed = boundDifferences(earlier, options, journal.entries);
      if (changed.length > 0) throw refuseDifferent(path, changed);
      await writeFileDurably(configPath, config);
    }
    const isResumed = earlier !== null;
    const record = await EventRecord.open(join(path, files.events));
    return new OpenRunDir(path, isResumed, journal, record, lock);
  } catch (thrown) {
    await journal?.close();
    await lock?.release().catch(() => {});
    throw diskError(thrown, path);
  }
}

/** What a run folder has recorded. */
export interface RecordedRun {
  /** Absolute. */
  readonly path: string;
  /** The experiment as it was run last, every default filled in. */
  readonly experiment: unknown;
  readonly environment: Facts;
  readonly journal: Journal["entries"];
}

/**
 * Reads a run folder without opening it: a run may be going on in it, and nothing is changed.
 *
 * @throws QuarryError CONFIG for a folder that holds no run; INTEGRITY when its files are damaged.
 */
export async function readRunDir(folder: string): Promise<RecordedRun> {
  const path = resolve(folder);
  const experiment = await readJsonFile(join(path, "experiment.json"));
  if (experiment === null) {
    throw new QuarryError("CONFIG", `${path} is not the folder of a run: it has no experiment.json.`, {
      hint: "Name the folder that a run wrote, e.g. runs/<name>.",
    });
  }
  const environment = ((await readJsonFile(join(path, "environment.json"))) ?? {}) as Facts;
  return { path, experiment, environment, journal: await readJournal(join(path, files.journal)) };
}

/** Whether a process has a run folder open; nothing is changed. */
export async function isAtWork(folder: string): Promise<boolean> {
  return isLocked(join(folder, files.lock));
}
