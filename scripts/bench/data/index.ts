/**
 * The data plane against its peers, measured in one run: first samples, groups a second, private memory, disk.
 *
 * Usage: npm run bench:data -- [--sizes 5k,100k,1m,full] [--peers trove,tevatron,dictionaries | none] [--folder F]
 *   [--seconds 10] [--batch 32] [--out F.json]
 * Without --folder everything happens in a temporary folder, which is removed; with it collections are kept and used
 * again. All sizes with all peers take about 25 GB of disk. Prints a Markdown table; --out keeps all figures as JSON.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, release, tmpdir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { findPython } from "../../../src/python/environment.js";
import { collectionOf } from "./folders.js";
import { FULL_SIZE } from "./make-collection.js";
import { measurePeer, PEERS, type Peer } from "./peers.js";
import { peersPython } from "./peers-setup.mjs";
import { cacheFolder, measureQuarry } from "./quarry.js";
import { type SizeFigures, toMarkdown } from "./table.js";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const SIZES: Record<string, number> = { "5k": 5_000, "100k": 100_000, "1m": 1_000_000, full: FULL_SIZE };

const { values } = parseArgs({
  options: {
    sizes: { type: "string", default: "5k,100k,1m,full" },
    peers: { type: "string", default: PEERS.join(",") },
    folder: { type: "string" },
    seconds: { type: "string", default: "10" },
    batch: { type: "string", default: "32" },
    out: { type: "string" },
    dist: { type: "string", default: join(ROOT, "dist") },
    "no-quarry": { type: "boolean", default: false },
  },
});

const chosen = values.peers === "none" ? [] : values.peers.split(",").map(toPeer);
const sizes = values.sizes.split(",").map(toSize);
const folder = resolve(values.folder ?? (await mkdtemp(join(tmpdir(), "quarry-bench-data-"))));
await mkdir(folder, { recursive: true });

function toPeer(name: string): Peer {
  const peer = PEERS.find((each) => each === name);
  if (peer === undefined) throw new Error(`There is no peer ${name}, only ${PEERS.join(", ")} and none.`);
  return peer;
}

function toSize(name: string): number {
  const size = SIZES[name] ?? Number(name);
  if (Number.isInteger(size) && size >= 1_000) return size;
  throw new Error(`${name} is no size: ${Object.keys(SIZES).join(", ")} or a number from 1000 on.`);
}

/** Tells on standard error what is at work; the load says what else the machine does. */
function note(what: string): void {
  console.error(`${what} (load ${(loadavg()[0] as number).toFixed(2)})`);
}

async function measure(passages: number): Promise<SizeFigures> {
  note(`collection of ${passages.toLocaleString("en-US")} passages`);
  const { path, counts } = await collectionOf(folder, passages, chosen.includes("tevatron"));
  const cache = cacheFolder(folder, String(passages));
  const seconds = Number(values.seconds);
  const peers: SizeFigures["peers"] = {};
  try {
    for (const peer of chosen) {
      note(`  ${peer}`);
      const load = loadavg()[0] as number;
      peers[peer] = { load, ...(await measurePeer(peer, { python: peersPython(), collection: path, cache, seconds })) };
      await rm(cache, { recursive: true });
    }
    if (values["no-quarry"]) return { counts, peers, quarry: null };
    note("  quarry");
    const load = loadavg()[0] as number;
    const python = await findPython({ extras: ["demo", "test"] });
    const dist = resolve(values.dist);
    const quarry = await measureQuarry({ dist, collection: path, cache, python, batch: Number(values.batch), seconds });
    return { counts, peers, quarry: { load, ...quarry } };
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
}

const { version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as { version: string };
const machine = {
  cpu: cpus()[0]?.model ?? "unknown",
  cores: availableParallelism(),
  memoryBytes: totalmem(),
  kernel: release(),
  node: process.version,
  quarry: version,
  batch: Number(values.batch),
};
try {
  const results: SizeFigures[] = [];
  for (const size of sizes) {
    results.push(await measure(size));
    if (values.out !== undefined) await writeFile(values.out, JSON.stringify({ machine, results }, null, 2));
  }
  console.log(toMarkdown(machine, results));
} finally {
  if (values.folder === undefined) await rm(folder, { recursive: true });
}
