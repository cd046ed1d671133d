/** The command line that the benchmarks share: measures parts, keeps them on file, writes the documentation. */
import { existsSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { execa } from "execa";
import type { PythonExtra } from "../../../src/python/environment.js";
import { peersPython } from "../data/peers-setup.mjs";
import type { Context, Figure } from "./context.js";
import { findScriptPython } from "./python.js";
import {
  type Measured,
  machineWords,
  type PartRecord,
  readRecord,
  type Section,
  toMarkdown,
  writeRecord,
  writeSection,
} from "./record.js";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** A benchmark: its section of docs/benchmarks.md, and its parts by the names of `section.titles`. */
export interface Bench {
  readonly section: Section;
  readonly parts: Readonly<Record<string, (context: Context) => Promise<void>>>;
  readonly extras: readonly PythonExtra[];
  /** What --write does beyond the section; gives the pages that it wrote. */
  writeMore?(record: Measured, out: string): Promise<readonly string[]>;
}

interface Options {
  readonly quick: boolean;
  readonly device: string;
  readonly threads: number;
}

/**
 * Runs a benchmark as the command line asks: [--only a,b] [--quick] [--threads 2] [--device cpu] [--out F.json]
 * [--report] [--write]. Parts replace their earlier figures in the JSON file. --report measures nothing and prints the
 * file as Markdown; --write puts it into docs/benchmarks.md too. The exit status is 1 when a figure that was promised is
 * not reached, 0 with --quick, whose sizes say little.
 */
export async function runBench(bench: Bench): Promise<void> {
  const { section, parts } = bench;
  const { values } = parseArgs({
    options: {
      only: { type: "string", default: Object.keys(parts).join(",") },
      quick: { type: "boolean", default: false },
      device: { type: "string", default: "cpu" },
      threads: { type: "string", default: String(availableParallelism()) },
      out: { type: "string", default: join(ROOT, `.quarry/bench/${section.command.replace(/^bench:/, "")}.json`) },
      report: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
    },
  });
  // A signal alone would end the process without its exit handlers, which take namespaces and children away.
  process.once("SIGINT", () => process.exit(130));
  process.once("SIGTERM", () => process.exit(143));

  const options = { quick: values.quick, device: values.device, threads: Number(values.threads) };
  // Before the first part: later ones find the load of those before them, which is over by then.
  const load = loadavg()[0] as number;
  let isReached = true;
  if (!values.report) {
    for (const part of values.only.split(",")) {
      const run = parts[part];
      if (run === undefined) throw new Error(`There is no part ${part}, only ${Object.keys(parts).join(", ")}.`);
      const found = { ...(await measure(bench, part, run, options)), load };
      isReached &&= found.figures.every(({ isOk }) => isOk !== false);
      // Read again each time: a part that fails later leaves the earlier ones on file.
      await writeRecord(values.out, { ...(await readRecord(values.out)), [part]: found });
    }
  }
  const record = await readRecord(values.out);
  if (values.write) {
    const page = join(ROOT, "docs/benchmarks.md");
    await writeSection(page, section, record);
    const pages = [page, ...((await bench.writeMore?.(record, values.out)) ?? [])];
    // Laid out as everything else in the repository.
    await execa(join(ROOT, "node_modules/.bin/biome"), [
      "check",
      "--write",
      ...pages.filter((each) => existsSync(each)),
    ]);
  }
  const shown = values.report ? Object.keys(record) : values.only.split(",");
  const told = Object.fromEntries(Object.entries(record).filter(([part]) => shown.includes(part)));
  console.log(toMarkdown(section, told));
  if (!isReached && !values.quick) process.exitCode = 1;
}

/** Measures one part; what it told is its record. */
export async function measure(
  bench: Pick<Bench, "extras">,
  part: string,
  run: (context: Context) => Promise<void>,
  options: Options,
): Promise<Omit<PartRecord, "load">> {
  const figures: Figure[] = [];
  const numbers: Readonly<Record<string, unknown>>[] = [];
  const begin = performance.now();
  const folder = await mkdtemp(join(tmpdir(), "quarry-bench-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.once("exit", remove);
  const add = (figure: Figure): void => {
    figures.push(figure);
    const mark = figure.isOk === null ? "      " : figure.isOk ? "ok    " : "NOT   ";
    const reach = figure.reach === null ? "" : ` (${figure.reach})`;
    console.error(`${mark}${figure.what}: ${figure.measured}${reach}`);
  };
  try {
    await run({
      part,
      ...options,
      python: await findScriptPython({ extras: bench.extras }),
      folder,
      peersPython,
      add,
      tell: (what, measured, reach, isOk) => add({ part, what, measured, reach: reach ?? null, isOk: isOk ?? null }),
      numbers: (told) => void numbers.push(told),
      note: (what) => console.error(`${what} (load ${(loadavg()[0] as number).toFixed(1)})`),
    });
  } finally {
    remove();
    process.off("exit", remove);
  }
  const seconds = (performance.now() - begin) / 1_000;
  return { figures, numbers, ...options, seconds, machine: machineWords() };
}
