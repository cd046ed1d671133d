/** Keeps what was measured, part by part, and turns it into the section of the documentation. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { dirname } from "node:path";
import type { Figure } from "./context.js";

/** One part as it was measured last. */
export interface PartRecord {
  readonly figures: readonly Figure[];
  readonly numbers: readonly Readonly<Record<string, unknown>>[];
  readonly quick: boolean;
  readonly threads: number;
  readonly device: string;
  readonly seconds: number;
  readonly machine: string;
  /** The machine's one-minute load when the part began. */
  readonly load: number;
}

export type Measured = Readonly<Record<string, PartRecord>>;

/** One benchmark's section of the documentation. */
export interface Section {
  /** Its npm script, which also marks where its tables stand. */
  readonly command: string;
  readonly heading: string;
  /** Titles of its parts, in order. */
  readonly titles: Readonly<Record<string, string>>;
}

/** Above this load something else is at work, and figures are no more than an order. */
const QUIET_LOAD = 0.7;

/** The machine in words. */
export function machineWords(): string {
  const model = cpus()[0]?.model.replace(/\s+/g, " ").trim() ?? "unknown processor";
  return `${cpus().length} cores of ${model}, ${Math.round(totalmem() / 1e9)} GB`;
}

/** What is on file; nothing where there is no file yet. */
export async function readRecord(path: string): Promise<Measured> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Measured;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw thrown;
  }
}

export async function writeRecord(path: string, record: Measured): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify(record, null, 1)}\n`);
}

/** The figures as Markdown, a table for each part. */
export function toMarkdown({ command, titles }: Section, record: Measured): string {
  const out: string[] = [];
  for (const [part, title] of Object.entries(titles)) {
    const found = record[part];
    if (found === undefined) continue;
    const { quick, threads, device, machine, load, seconds, figures } = found;
    const sizes = quick ? "; small sizes (`--quick`)" : "";
    const noise =
      load > QUIET_LOAD
        ? ` **Measured on a loaded machine (load ${load.toFixed(1)} at the start): an order only.**`
        : "";
    out.push(`### ${title} (\`npm run ${command} -- --only ${part}\`)`, "");
    out.push(`${machine}, ${device}, ${threads} threads${sizes}; ${Math.round(seconds)} s.${noise}`, "");
    out.push("| what | measured | to reach | |", "| --- | --- | --- | --- |");
    for (const { what, measured, reach, isOk } of figures) {
      const mark = isOk === null ? "" : isOk ? "ok" : "**not**";
      out.push(`| ${escape(what)} | ${escape(measured)} | ${escape(reach ?? "")} | ${mark} |`);
    }
    out.push("");
  }
  return out.join("\n");
}

const escape = (text: string): string => text.replaceAll("|", "\\|");

/** Puts the tables between the two marks of a page; at its end when it has none yet. */
export async function writeSection(page: string, section: Section, record: Measured): Promise<void> {
  const [begin, end] = [`<!-- ${section.command}, written by its --write -->`, `<!-- end of ${section.command} -->`];
  const text = await readFile(page, "utf8");
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  const tables = `${begin}\n\n${toMarkdown(section, record)}\n${end}`;
  const whole =
    from === -1 || to < from
      ? `${text.trimEnd()}\n\n## ${section.heading} (\`npm run ${section.command}\`)\n\n${tables}\n`
      : text.slice(0, from) + tables + text.slice(to + end.length);
  await writeFile(page, whole);
}
