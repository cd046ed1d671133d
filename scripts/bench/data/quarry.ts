/** What the data benchmark measures of Quarry, each figure with processes of its own. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { PythonEnvironment } from "../../../src/python/environment.js";
import { anonymousBytes, type Measured, start } from "../shared/children.js";
import { folderBytes } from "./folders.js";

const PROCESS = fileURLToPath(new URL("quarry-process.mjs", import.meta.url));
const CONSUMER = fileURLToPath(new URL("consumer.py", import.meta.url));
const LATER_RUNS = 5;
/** Batches after which a consumer's memory is compared with its memory before the first one. */
const MEMORY_BATCHES = 1_000;
const CHANGES = {
  groupRandomK: { groupRandomK: 10 },
  minScore: { minScore: 15 },
  scoreTransform: { scoreTransform: 1 },
} as const;

/** Where and how Quarry is measured. */
export interface QuarryPlace {
  readonly dist: string;
  readonly collection: string;
  /** Emptied first. */
  readonly cache: string;
  readonly python: PythonEnvironment;
  /** Queries in a batch. */
  readonly batch: number;
  /** Length of each phase of random access. */
  readonly seconds: number;
}

/** Groups a second and memory with some consumers. */
export interface Served {
  /** In the first round, when most pages are touched for the first time, and in a second one as long. */
  readonly groupsPerSecond: { readonly first: number; readonly later: number };
  readonly orchestratorBytes: number;
  /** What data handling added in each consumer. */
  readonly consumerBytes: readonly number[];
  /** Orchestrator and what all consumers gained. */
  readonly totalBytes: number;
}

/** Seconds count from the start of the process to its first batch. */
export interface QuarryFigures {
  readonly firstRunSeconds: number;
  readonly preparationPeakBytes: number;
  readonly diskBytes: number;
  readonly laterSeconds: { readonly best: number; readonly median: number };
  readonly changedSeconds: Readonly<Record<keyof typeof CHANGES, number>>;
  readonly strings: Served;
  readonly receive: Served;
  readonly eight: Served;
  /** One consumer once more, when the others have brought the collection into memory. */
  readonly warm: Served;
}

/** Measures Quarry on one collection. */
export async function measureQuarry(place: QuarryPlace): Promise<QuarryFigures> {
  await rm(place.cache, { recursive: true, force: true });
  await mkdir(place.cache, { recursive: true });
  const first = await firstBatch(place, {});
  const later: number[] = [];
  for (let run = 0; run < LATER_RUNS; run += 1) later.push((await firstBatch(place, {})).seconds);
  const changed = {} as Record<keyof typeof CHANGES, number>;
  for (const name of Object.keys(CHANGES) as (keyof typeof CHANGES)[]) {
    const runs: number[] = [];
    for (let run = 0; run < 3; run += 1) runs.push((await firstBatch(place, CHANGES[name])).seconds);
    changed[name] = median(runs);
  }
  return {
    firstRunSeconds: first.seconds,
    preparationPeakBytes: first.peakBytes,
    diskBytes: await folderBytes(place.cache),
    laterSeconds: { best: Math.min(...later), median: median(later) },
    changedSeconds: changed,
    strings: await serve(place, 1, "strings"),
    receive: await serve(place, 1, "receive"),
    eight: await serve(place, 8, "strings"),
    warm: await serve(place, 1, "strings"),
  };
}

/** The middle of an odd number of figures. */
export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] as number;
}

function startQuarry(place: QuarryPlace, mode: string, more: Record<string, unknown>): Measured {
  const { dist, collection, cache, batch } = place;
  return start(process.execPath, [PROCESS, mode, JSON.stringify({ dist, collection, cache, batch, ...more })]);
}

async function firstBatch(place: QuarryPlace, negatives: object): Promise<{ seconds: number; peakBytes: number }> {
  const child = startQuarry(place, "first", { negatives });
  const { afterMs } = await child.event("first");
  const peakBytes = child.peakBytes();
  await child.finish();
  return { seconds: afterMs / 1_000, peakBytes };
}

/** Starts an orchestrator over a prepared cache and lets consumers ask for two rounds of batches. */
export async function serve(place: QuarryPlace, ranks: number, mode: "strings" | "receive"): Promise<Served> {
  const server = startQuarry(place, "serve", { ranks });
  const { ticket } = await server.event("serving");
  const { executable, env } = place.python;
  const consumers = Array.from({ length: ranks }, (_, rank) =>
    start(executable, [CONSUMER, String(ticket), String(rank), mode, String(place.seconds), String(MEMORY_BATCHES)], {
      ...env,
      RANK: String(rank),
      WORLD_SIZE: String(ranks),
    }),
  );
  const before = await Promise.all(consumers.map(async (each) => Number((await each.event("ready")).anonymousBytes)));
  for (const each of consumers) process.kill(each.pid, "SIGUSR1");
  const done = await Promise.all(consumers.map((each) => each.event("done")));
  const orchestratorBytes = anonymousBytes(server.pid);
  // Their input stays open: its end would tell them that the orchestrator is gone.
  await Promise.all(consumers.map((each) => each.finish()));
  server.endInput();
  await server.finish();
  const consumerBytes = done.map((each, at) => Number(each.anonymousBytes) - (before[at] as number));
  const rateOf = (round: number): number =>
    done.reduce((sum, { rates }) => sum + ((rates as number[])[round] as number), 0);
  return {
    groupsPerSecond: { first: rateOf(0), later: rateOf(1) },
    orchestratorBytes,
    consumerBytes,
    totalBytes: consumerBytes.reduce((sum, each) => sum + each, orchestratorBytes),
  };
}

/** Path of the cache of a kind beside a collection. */
export function cacheFolder(folder: string, name: string): string {
  return join(folder, "caches", name);
}
