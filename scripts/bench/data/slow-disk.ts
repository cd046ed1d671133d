/**
 * Groups a second from a disk that is slowed down: cold and warm, with and without readahead.
 *
 * The limit is a blkio cgroup's (version 1) on the whole disk that the folder lies on, so this needs root. What is cold
 * was taken out of the page cache first, the files of the benchmark only.
 * Usage: node scripts/on-build.mjs scripts/bench/data/slow-disk.ts --folder F [--size 8841823] [--limit 50] [--seconds 20] [--tevatron] [--out F.json]
 */
import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { start } from "../shared/children.js";
import { diskOf, eachFile, openThrottle, type Throttle } from "../shared/disk.js";
import { collectionOf } from "./folders.js";
import { FULL_SIZE } from "./make-collection.js";
import { peersPython } from "./peers-setup.mjs";
import { cacheFolder } from "./quarry.js";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const PROCESS = fileURLToPath(new URL("quarry-process.mjs", import.meta.url));
const PEER = fileURLToPath(new URL("peer_data.py", import.meta.url));

const { values } = parseArgs({
  options: {
    folder: { type: "string" },
    size: { type: "string", default: String(FULL_SIZE) },
    limit: { type: "string", default: "50" },
    seconds: { type: "string", default: "20" },
    batch: { type: "string", default: "32" },
    tevatron: { type: "boolean", default: false },
    dist: { type: "string", default: join(ROOT, "dist") },
    out: { type: "string" },
  },
});
if (values.folder === undefined) throw new Error("--folder is missing.");

/** What the system is told about a mapping. */
const ADVICE = {
  "no readahead around a row; a batch's rows asked for at once (what Quarry does)": { around: false, ahead: true },
  "no readahead around a row, each row waited for": { around: false, ahead: false },
  "the system's readahead around a row; a batch's rows asked for at once": { around: true, ahead: true },
  "the system's readahead around a row, each row waited for": { around: true, ahead: false },
} as const;

interface Figures {
  /** From the start of the process until random access begins. */
  readonly openSeconds: number;
  readonly groupsPerSecond: number;
  readonly bytesPerGroup: number;
  readonly load: number;
}

type State = "limited" | "unlimited" | "warm";

interface Rival {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cache: string;
  /** What the process says when it begins with random access. */
  readonly ready: string;
}

async function measure({ command, args, cache, ready }: Rival, state: State, throttle: Throttle): Promise<Figures> {
  await eachFile(cache, state === "warm" ? "warm" : "cold");
  const load = loadavg()[0] as number;
  const wrapped = state === "limited" ? throttle.wrap(command, args) : { command, args };
  const child = start(wrapped.command, wrapped.args);
  const openSeconds = (await child.event(ready)).afterMs / 1_000;
  const done = await child.event("done");
  await child.finish();
  const rates = done.rates as number[];
  const groupsPerSecond = rates.reduce((sum, each) => sum + each, 0) / rates.length;
  return { openSeconds, groupsPerSecond, bytesPerGroup: Number(done.readBytes) / Number(done.groups), load };
}

const folder = resolve(values.folder);
const { path: collection } = await collectionOf(folder, Number(values.size), values.tevatron);
const quarryCache = cacheFolder(folder, "slow-disk-quarry");
const tevatronCache = cacheFolder(folder, "slow-disk-tevatron");
await mkdir(quarryCache, { recursive: true });
const rivals: Rival[] = [];
const options = { dist: resolve(values.dist), collection, cache: quarryCache, batch: Number(values.batch) };
const first = start(process.execPath, [PROCESS, "first", JSON.stringify(options)]);
await first.event("first");
await first.finish();
for (const [name, advice] of Object.entries(ADVICE)) {
  const args = [PROCESS, "local", JSON.stringify({ ...options, seconds: Number(values.seconds), advice })];
  rivals.push({ name, command: process.execPath, args, cache: quarryCache, ready: "opened" });
}
if (values.tevatron) {
  await mkdir(tevatronCache, { recursive: true });
  // Its two rounds together take as long as Quarry's one.
  const args = [PEER, "tevatron", collection, tevatronCache, String(Number(values.seconds) / 2)];
  const built = start(peersPython(), args.with(4, "0"));
  await built.event("done");
  await built.finish();
  const name = "Tevatron's inlined files through datasets";
  rivals.push({ name, command: peersPython(), args, cache: tevatronCache, ready: "first" });
}

const throttle = openThrottle(folder, Number(values.limit));
const results: Record<string, Record<State, Figures>> = {};
try {
  for (const rival of rivals) {
    const { name } = rival;
    const figures = {} as Record<State, Figures>;
    for (const state of ["limited", "unlimited", "warm"] as const) {
      figures[state] = await measure(rival, state, throttle);
      console.error(`${name}, ${state}: ${JSON.stringify(figures[state])}`);
    }
    results[name] = figures;
  }
} finally {
  throttle.close();
}
if (values.out !== undefined) await writeFile(values.out, JSON.stringify({ ...values, results }, null, 2));

const rate = (value: number): string => Math.round(value).toLocaleString("en-US");
const readahead = readFileSync(`/sys/dev/block/${diskOf(folder)}/queue/read_ahead_kb`, "latin1").trim();
console.log(`${values.size} passages; the system reads up to ${readahead} KiB ahead.\n`);
console.log(
  `| groups/s | cold, ${values.limit} MB/s | cold, no limit | warm | KB read for a group | s until the first, cold, ${values.limit} MB/s |`,
);
console.log("| --- | --- | --- | --- | --- | --- |");
for (const [name, { limited, unlimited, warm }] of Object.entries(results)) {
  const cells = [limited, unlimited, warm].map(({ groupsPerSecond }) => rate(groupsPerSecond));
  cells.push(rate(limited.bytesPerGroup / 1e3), limited.openSeconds.toFixed(1));
  console.log(`| ${[name, ...cells].join(" | ")} |`);
}
