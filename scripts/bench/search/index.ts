/**
 * Encoding, search and scaling against their peers, each pair measured in the same run.
 *
 * Usage: npm run bench:search [-- --only encode,topk,score,scaling,cpu,crossover] [--quick] [--threads 2]
 *   [--device cpu] [--out F.json] [--report] [--write]
 * Parts replace their earlier figures in the JSON file, .quarry/bench/search.json. --report measures nothing and
 * prints the file as Markdown; --write puts it into docs/benchmarks.md too. The exit status is 1 when a figure that
 * was promised is not reached, 0 with --quick, whose sizes say little.
 */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { execa } from "execa";
import { findPython } from "../../../src/python/environment.js";
import { peersPython } from "../data/peers-setup.mjs";
import type { Context, Figure } from "./context.js";
import { measureEncoding } from "./encode.js";
import { measureFeeding } from "./feeding.js";
import { runPythonPart, writeCrossoverPage } from "./python-part.js";
import { machineWords, type PartRecord, readRecord, toMarkdown, writeRecord, writeSection } from "./record.js";
import { measureScaling } from "./scaling.js";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

const PARTS: Readonly<Record<string, (context: Context) => Promise<void>>> = {
  encode: measureEncoding,
  topk: (context) => runPythonPart(context, "topk.py"),
  score: (context) => runPythonPart(context, "score.py"),
  scaling: measureScaling,
  cpu: measureFeeding,
  crossover: (context) => runPythonPart(context, "crossover.py"),
};

const { values } = parseArgs({
  options: {
    only: { type: "string", default: Object.keys(PARTS).join(",") },
    quick: { type: "boolean", default: false },
    device: { type: "string", default: "cpu" },
    threads: { type: "string", default: String(availableParallelism()) },
    out: { type: "string", default: join(ROOT, ".quarry/bench/search.json") },
    report: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});

// A signal alone would end the process without its exit handlers, which take namespaces and children away.
process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));

/** Measures one part; what it told is its record. */
async function measure(part: string, run: (context: Context) => Promise<void>): Promise<PartRecord> {
  const figures: Figure[] = [];
  const numbers: Readonly<Record<string, unknown>>[] = [];
  const [load, begin] = [loadavg()[0] as number, performance.now()];
  const folder = await mkdtemp(join(tmpdir(), "quarry-bench-"));
  const threads = Number(values.threads);
  const add = (figure: Figure): void => {
    figures.push(figure);
    const mark = figure.isOk === null ? "      " : figure.isOk ? "ok    " : "NOT   ";
    const reach = figure.reach === null ? "" : ` (${figure.reach})`;
    console.error(`${mark}${figure.what}: ${figure.measured}${reach}`);
  };
  try {
    await run({
      part,
      quick: values.quick,
      device: values.device,
      threads,
      python: await findPython({ extras: ["demo", "faiss", "test"] }),
      folder,
      peersPython,
      add,
      tell: (what, measured, reach, isOk) => add({ part, what, measured, reach: reach ?? null, isOk: isOk ?? null }),
      numbers: (told) => void numbers.push(told),
      note: (what) => console.error(`${what} (load ${(loadavg()[0] as number).toFixed(1)})`),
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const seconds = (performance.now() - begin) / 1_000;
  return {
    figures,
    numbers,
    quick: values.quick,
    threads,
    device: values.device,
    seconds,
    machine: machineWords(),
    load,
  };
}

let isReached = true;
if (!values.report) {
  for (const part of values.only.split(",")) {
    const run = PARTS[part];
    if (run === undefined) throw new Error(`There is no part ${part}, only ${Object.keys(PARTS).join(", ")}.`);
    const found = await measure(part, run);
    isReached &&= found.figures.every(({ isOk }) => isOk !== false);
    // Read again each time: a part that fails later leaves the earlier ones on file.
    await writeRecord(values.out, { ...(await readRecord(values.out)), [part]: found });
  }
}
const record = await readRecord(values.out);
if (values.write) {
  const pages = ["docs/benchmarks.md", "docs/crossover.md"].map((page) => join(ROOT, page));
  await writeSection(pages[0] as string, record);
  if (record.crossover !== undefined) await writeCrossoverPage(values.out, join(ROOT, "docs"));
  // Laid out as everything else in the repository.
  await execa(join(ROOT, "node_modules/.bin/biome"), ["check", "--write", ...pages.filter((page) => existsSync(page))]);
}
const shown = values.report ? Object.keys(record) : values.only.split(",");
console.log(toMarkdown(Object.fromEntries(Object.entries(record).filter(([part]) => shown.includes(part)))));
if (!isReached && !values.quick) process.exitCode = 1;
