/** environment.json: with which versions, machine, seed, data and model a run's results came about. */
import { readFile } from "node:fs/promises";
import { arch, availableParallelism, cpus, release, totalmem, type } from "node:os";
import { isRecord } from "./difference.js";
import type { RunDir } from "./directory.js";

/** What only the caller knows; each part may come when it becomes known. */
export interface Facts {
  /** Versions of Python packages, and of Python itself. */
  readonly python?: Readonly<Record<string, string>>;
  readonly seed?: number;
  /** Fingerprints of prepared data by what they are used for. */
  readonly data?: Readonly<Record<string, string>>;
  /** Revision or fingerprint of each model by checkpoint name. */
  readonly models?: Readonly<Record<string, string>>;
  /** Anything else worth keeping: devices of workers, probed batch size. */
  readonly [name: string]: unknown;
}

type Json = { [key: string]: unknown };

/** The newer value wins, objects are joined key by key. */
function merge(older: Json, newer: Json): Json {
  const joined: Json = { ...older };
  for (const [key, value] of Object.entries(newer)) {
    const before = joined[key];
    if (value !== undefined) joined[key] = isRecord(before) && isRecord(value) ? merge(before, value) : value;
  }
  return joined;
}

async function quarryVersion(): Promise<string> {
  // The same distance from src/rundir and from dist/rundir.
  const text = await readFile(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

/** What this process knows by itself. No host or user name: the file is meant to be passed on. */
async function ownFacts(): Promise<Json> {
  return {
    quarry: await quarryVersion(),
    node: process.versions.node,
    os: `${type()} ${release()} ${arch()}`,
    cpu: { model: cpus()[0]?.model ?? "unknown", cores: availableParallelism() },
    memoryBytes: totalmem(),
  };
}

/** Adds facts to the folder's environment.json; what was written before stays unless it is named again. */
export async function addFacts(runDir: Pick<RunDir, "updateJson">, facts: Facts): Promise<void> {
  const own = await ownFacts();
  await runDir.updateJson<unknown>("environment.json", (before) =>
    merge(merge(isRecord(before) ? before : {}, own), facts),
  );
}
