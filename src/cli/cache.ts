/** `quarry cache`: what the cache of prepared data holds, whether it is sound, and how to make it smaller. */
import { resolve } from "node:path";
import { Command } from "commander";
import { counted } from "../counted.js";
import { EXIT_STATUS, QuarryError } from "../errors.js";
import { homeFolder } from "../home.js";
import type { CacheEntry, CacheReport, PruneReport } from "../index.js";
import { formatBytes } from "../report/format.js";
import { describeDamage, describeEntries, type TableLayout } from "./cache-table.js";
import { print } from "./print.js";
import { progressLine } from "./progress-line.js";
import { withStop } from "./stoppable.js";

interface Flags {
  readonly cache?: string;
  readonly json?: boolean;
  readonly debug?: boolean;
}

interface PruneFlags extends Flags {
  readonly olderThan?: string;
  readonly stale?: boolean;
  readonly all?: boolean;
  readonly kind?: readonly string[];
  readonly dryRun?: boolean;
}

/** Makes the command; `setStatus` takes the exit status. */
export function cacheCommand(setStatus: (status: number) => void): Command {
  const list = subcommand("list", "Show what the cache holds and what it was built from.");
  const verify = subcommand("verify", "Compare all files with their hashes; remove damaged entries (status 6).");
  const prune = subcommand("prune", "Remove damaged entries and unfinished ones; with options, more.")
    .option("--older-than <days>", "entries not used for so long as well")
    .option("--stale", "entries whose sources are gone or have changed as well")
    .option("--all", "every entry")
    .option("--kind <kind...>", "only entries of these kinds, e.g. texts, embeddings, pair-scores, models")
    .option("--dry-run", "only show what would be removed");
  const act = <Given extends Flags>(command: Command, work: (flags: Given, signal: AbortSignal) => Promise<number>) =>
    command.action(async (flags: Given) =>
      setStatus(await withStop(flags.debug === true, (signal) => work(flags, signal))),
    );
  const cache = new Command("cache");
  return cache
    .description("List, verify or prune what the cache holds.")
    .helpCommand(false)
    .allowExcessArguments()
    .action(() => {
      const [name] = cache.args;
      if (name === undefined) return cache.outputHelp();
      const hint = "Use quarry cache list, verify or prune.";
      throw new QuarryError("CONFIG", `quarry cache: there is no command ${JSON.stringify(name)}`, { hint });
    })
    .addCommand(act(list, listed))
    .addCommand(act(verify, verified))
    .addCommand(act(prune, pruned))
    .addHelpText(
      "after",
      "\nWhat is missing is made again by the next run that needs it: texts are read,\nvectors encoded, models fetched.",
    );
}

function subcommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option("--cache <folder>", "the cache folder (default: QUARRY_CACHE, else ~/.cache/quarry)")
    .option("--json", "write JSON")
    .option("--debug", "show the trace of an error");
}

async function listed(flags: Flags, signal: AbortSignal): Promise<number> {
  const { listCache } = await import("../index.js");
  const cacheDir = await folderOf(flags);
  const entries = await listCache(cacheDir, { signal });
  print(flags.json, { cacheDir, entries }, () => describeList(cacheDir, entries));
  return 0;
}

async function verified(flags: Flags, signal: AbortSignal): Promise<number> {
  const { verifyCache } = await import("../index.js");
  const cacheDir = await folderOf(flags);
  const line = progressLine(({ bytes, totalBytes }: { readonly bytes: number; readonly totalBytes: number }) => {
    return `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`;
  });
  const options = { signal, ...(line === null ? {} : { onProgress: line.show }) };
  const report = await verifyCache(cacheDir, options).finally(() => line?.clear());
  print(flags.json, { cacheDir, ...report }, () => describeReport(cacheDir, report));
  return report.damaged.length === 0 ? 0 : EXIT_STATUS.INTEGRITY;
}

async function pruned(flags: PruneFlags, signal: AbortSignal): Promise<number> {
  const { pruneCache } = await import("../index.js");
  const cacheDir = await folderOf(flags);
  const { olderThan, stale, all, kind, dryRun } = flags;
  const olderThanDays = olderThan === undefined ? undefined : Number(olderThan);
  if (olderThanDays !== undefined && !(olderThanDays >= 0 && olderThan?.trim() !== "")) {
    throw new QuarryError("CONFIG", `--older-than: expected a number of days, saw ${JSON.stringify(olderThan)}`, {
      hint: "quarry cache prune --older-than 30",
    });
  }
  const report = await pruneCache(cacheDir, {
    signal,
    ...(olderThanDays === undefined ? {} : { olderThanDays }),
    ...(kind === undefined ? {} : { kinds: kind }),
    isStaleRemoved: stale ?? false,
    isAllRemoved: all ?? false,
    isDryRun: dryRun ?? false,
  });
  print(flags.json, { cacheDir, isDryRun: dryRun ?? false, ...report }, () => describePruned(report, dryRun ?? false));
  return 0;
}

async function folderOf({ cache }: Flags): Promise<string> {
  const { defaultCacheDir } = await import("../index.js");
  if (cache === "") throw new QuarryError("CONFIG", "--cache: expected a folder", { hint: "quarry cache --help" });
  return resolve(cache ?? defaultCacheDir());
}

function describeList(cacheDir: string, entries: readonly CacheEntry[]): string {
  if (entries.length === 0) return `The cache ${cacheDir} is empty.`;
  const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
  const total = `${counted(entries.length, "entries")} in ${cacheDir}, ${formatBytes(bytes)}`;
  return `${describeEntries(entries, layout())}\n${total}`;
}

function describeReport(cacheDir: string, { entryCount, fileCount, bytes, damaged }: CacheReport): string {
  const read = `${counted(entryCount, "entries")}, ${counted(fileCount, "files")}, ${formatBytes(bytes)} read in ${cacheDir}`;
  if (damaged.length === 0) return `${read}: all as they were written.`;
  return `${damaged.map((each) => describeDamage(each)).join("\n")}\n${read}: ${damaged.length} damaged.`;
}

function describePruned({ removed, removedBytes, keptCount, keptBytes }: PruneReport, isDryRun: boolean): string {
  const kept = `${keptCount} kept, ${formatBytes(keptBytes)}.`;
  if (removed.length === 0) return `Nothing to remove; ${kept}`;
  const verb = isDryRun ? "would be removed" : "removed";
  return `${describeEntries(removed, layout())}\n${removed.length} ${verb}, ${formatBytes(removedBytes)}; ${kept}`;
}

function layout(): TableLayout {
  return { width: process.stdout.columns ?? 120, home: homeFolder() ?? "/", now: Date.now() };
}
