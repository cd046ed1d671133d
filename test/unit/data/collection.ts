/** Small collections on disk for the tests of the data plane, each in a folder that goes away with the test. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import type { DataContext } from "../../../src/data/types.js";
import type { SourceConfig } from "../../../src/experiment/schema.js";

export interface Collection {
  readonly dir: string;
  readonly cacheDir: string;
  readonly warnings: string[];
  readonly context: DataContext;
  /** Writes a file and returns its path. */
  write(name: string, content: string | Uint8Array): string;
}

/** Hundreds of small entries are built: where the folder lies in memory, flushing to the disk costs nothing. */
const ROOT = hasRoom("/dev/shm") ? "/dev/shm" : tmpdir();

/** Containers have 64 MiB there unless they are told otherwise. */
function hasRoom(folder: string): boolean {
  if (!existsSync(folder)) return false;
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize >= 2 ** 30;
}

/** An empty folder with a cache folder beside it. */
export function newCollection(files: Record<string, string | Uint8Array> = {}, seed = 42): Collection {
  const dir = mkdtempSync(join(ROOT, "quarry-data-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const warnings: string[] = [];
  const cacheDir = join(dir, "cache");
  const write = (name: string, content: string | Uint8Array): string => {
    const path = join(dir, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  };
  for (const [name, content] of Object.entries(files)) write(name, content);
  const context = { baseDir: dir, cacheDir, seed, onWarning: (message: string) => warnings.push(message) };
  return { dir, cacheDir, warnings, context, write };
}

/** Records as JSON lines. */
export function jsonLines(records: readonly object[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join("");
}

/** Passages d0, d1, … with texts that name them. */
export function passages(count: number, prefix = "d"): string {
  return jsonLines(
    Array.from({ length: count }, (_, row) => ({
      _id: `${prefix}${row}`,
      title: row % 3 === 0 ? "" : `Title ${row}`,
      text: `text of ${prefix}${row}`,
    })),
  );
}

/** Queries q0, q1, …. */
export function queries(count: number): string {
  return jsonLines(Array.from({ length: count }, (_, row) => ({ _id: `q${row}`, text: `what is ${row}?` })));
}

/** Judgements as BEIR TSV with a header. */
export function qrels(triplets: readonly (readonly [string, string, number | string])[]): string {
  return `query-id\tcorpus-id\tscore\n${triplets.map((triplet) => `${triplet.join("\t")}\n`).join("")}`;
}

/** A source over corpus.jsonl and queries.jsonl. */
export function sourceOf(options: Partial<SourceConfig> = {}): SourceConfig {
  return { kind: "source", corpus: "corpus.jsonl", ...options };
}
