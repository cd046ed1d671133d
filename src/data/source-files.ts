/** Where a source's files are: absolute paths, folders opened up, defaults filled in. */
import { readdirSync, type Stats, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { QuarryError } from "../errors.js";
import type { FileConfig, FilesConfig, SourceConfig } from "../experiment/schema.js";
import { sourceError } from "./failures.js";

/** A source's files, absolute, in order. */
export interface SourceFiles {
  readonly corpus: readonly FileConfig[];
  /** Null where the source has none: a corpus that is only searched or encoded, or `queries` is an empty list. */
  readonly queries: readonly FileConfig[] | null;
  readonly qrels: readonly FileConfig[];
  /** Null for all queries. */
  readonly querySubset: readonly FileConfig[] | null;
}

/**
 * Relative paths start at `baseDir`; a folder stands for the corpus or queries file in it (see NAMES); queries default to
 * the file beside the corpus. What is on the hub was found on this machine before.
 *
 * @throws QuarryError CONFIG for a folder that does not hold what it stands for; DATA for one that cannot be entered.
 */
export function sourceFiles(source: SourceConfig, baseDir: string): SourceFiles {
  const corpus = listFiles(source.corpus).map((file) => inFolder(file, baseDir, "corpus"));
  const qrels = source.qrels === undefined ? [] : listFiles(source.qrels).map((file) => plain(file, baseDir));
  const querySubset =
    source.querySubset === undefined ? null : listFiles(source.querySubset).map((file) => plain(file, baseDir));
  const queries =
    source.queries === undefined
      ? besideCorpus(corpus[0]?.path ?? baseDir, qrels.length > 0)
      : listFiles(source.queries).map((file) => inFolder(file, baseDir, "queries"));
  return { corpus, queries: queries?.length === 0 ? null : queries, qrels, querySubset };
}

/** The queries file in the corpus's folder; null where there is none and none is needed. */
function besideCorpus(corpus: string, areNeeded: boolean): FileConfig[] | null {
  const folder = dirname(corpus);
  const found = fileIn(folder, "queries");
  if (found !== null) return [asFile(found)];
  if (!areNeeded) return null;
  const looked = join(folder, NAMES.queries[0]);
  throw new QuarryError("CONFIG", `the queries are not named, and there is no ${looked} beside the corpus.`, {
    hint: "Name their file with the option queries; a training file that holds all texts serves as queries, too.",
  });
}

/** The files of an option, each with its options. */
export function listFiles(files: FilesConfig): FileConfig[] {
  return (Array.isArray(files) ? files : [files]).map((file) => (typeof file === "string" ? asFile(file) : file));
}

/** A file with default options. */
export function asFile(path: string): FileConfig {
  return { path, part: "all", scores: "labels" };
}

function plain(file: FileConfig, baseDir: string): FileConfig {
  const path = resolve(baseDir, file.path);
  if (!isFolder(path)) return { ...file, path };
  const inside = namesIn(path).filter((name) => /\.(tsv|txt|csv|jsonl?|parquet|trec|run|qrels)(\.gz)?$/.test(name));
  throw new QuarryError("CONFIG", `${path} is a folder, but a file of judgements or ids was expected.`, {
    hint: inside.length === 0 ? "Name a file." : `Name one of ${inside.sort().slice(0, 10).join(", ")}.`,
  });
}

/** For a hint only: none where the folder may not be read. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** What a folder's files are called: BEIR's names, their Parquet and CSV twins, MS MARCO's; the first one counts. */
const NAMES = {
  corpus: ["corpus.jsonl", "corpus.parquet", "corpus.json", "collection.tsv", "corpus.tsv", "corpus.csv"],
  queries: ["queries.jsonl", "queries.parquet", "queries.json", "queries.tsv", "queries.csv"],
} as const;

function inFolder(file: FileConfig, baseDir: string, role: "corpus" | "queries"): FileConfig {
  const path = resolve(baseDir, file.path);
  if (!isFolder(path)) return { ...file, path };
  const found = fileIn(path, role);
  if (found !== null) return { ...file, path: found };
  const names = NAMES[role].join(", ");
  throw new QuarryError(
    "CONFIG",
    `the folder ${path} holds no ${role}: looked for ${names}, each with and without .gz.`,
    {
      hint: "Name the file itself.",
    },
  );
}

/** The file that stands for a role in a folder, plain before packed. */
function fileIn(folder: string, role: "corpus" | "queries"): string | null {
  const paths = NAMES[role].flatMap((name) => [join(folder, name), join(folder, `${name}.gz`)]);
  return paths.find((path) => found(path) !== undefined) ?? null;
}

function isFolder(path: string): boolean {
  return found(path)?.isDirectory() ?? false;
}

/** What lies at a path of the source, undefined for nothing. */
function found(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (thrown) {
    throw sourceError(path, thrown);
  }
}
