/** What people name when they mean a run: a TREC file, values of each query, or a folder that an evaluation wrote. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { type PlainJudgement, plainJudgements } from "../data/index.js";
import { QuarryError } from "../errors.js";

/** Judgements that are written at a time. */
const PIECE_LINES = 10_000;

/** A run that was found. */
export interface RunFiles {
  /** As the user wrote it. */
  readonly name: string;
  /** TREC run, or per-query.json. */
  readonly run: string;
  /** The judgements beside it, where it lies in an evaluation's folder. */
  readonly qrels: string | null;
}

/**
 * Finds a run's files.
 *
 * @throws QuarryError CONFIG when nothing is there, or when a run folder holds several evaluations.
 */
export function findRun(name: string): RunFiles {
  const path = resolve(name);
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw new QuarryError("CONFIG", `there is no ${name} (looked for ${path}).`);
  if (!found.isDirectory()) return { name, run: path, qrels: null };
  const all = evaluationsIn(path, 2);
  // A search leaves a run without judgements: it is no evaluation where there are some.
  const judged = all.filter((folder) => existsSync(join(folder, "qrels.trec")));
  const folders = judged.length > 0 ? judged : all;
  const [only] = folders;
  if (only === undefined) {
    throw new QuarryError("CONFIG", `${name}: holds no run.trec and no per-query.json.`, {
      hint: "Name a run file, or the folder that an evaluation wrote, e.g. runs/<name>/evaluate-base.",
    });
  }
  if (folders.length > 1) {
    const choices = folders.map((folder) => join(name, relative(path, folder)));
    throw new QuarryError("CONFIG", `${name}: holds ${folders.length} evaluations.`, {
      hint: `Name one of ${choices.slice(0, 10).join(", ")}.`,
    });
  }
  const qrels = join(only, "qrels.trec");
  const run = join(only, "run.trec");
  return {
    name,
    run: existsSync(run) ? run : join(only, "per-query.json"),
    qrels: existsSync(qrels) ? qrels : null,
  };
}

/** Folders with an evaluation's files: this one, or those in it, `depth` levels down. */
function evaluationsIn(folder: string, depth: number): string[] {
  if (existsSync(join(folder, "run.trec")) || existsSync(join(folder, "per-query.json"))) return [folder];
  if (depth === 0) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => evaluationsIn(join(folder, entry.name), depth - 1))
    .sort();
}

/**
 * The judgements of several runs: those named, else those that lie beside the runs, when they are the same.
 *
 * @param hint how the caller's user names them
 * @returns null when no run file needs any
 * @throws QuarryError CONFIG when they are missing, or differ.
 */
export function commonQrels(runs: readonly RunFiles[], named: string | undefined, hint: string): string | null {
  if (named !== undefined) return resolve(named);
  const own = runs.filter(({ qrels }) => qrels !== null).map(({ qrels }) => qrels as string);
  const [first] = own;
  if (first === undefined) {
    if (runs.every(({ run }) => run.endsWith(".json"))) return null;
    throw new QuarryError("CONFIG", "the judgements are missing.", { hint });
  }
  const content = readFileSync(first);
  const other = own.find((path) => !readFileSync(path).equals(content));
  if (other === undefined) return first;
  throw new QuarryError("CONFIG", `the runs were judged differently: ${first} and ${other} are not equal.`, {
    hint: "Name the judgements that count with --qrels <file>.",
  });
}

/**
 * Judgements as trec_eval reads them: the file itself where it is in TREC format, else a copy in `folder`.
 *
 * @throws QuarryError CONFIG or DATA with file and line.
 */
export async function trecQrels(path: string, folder: string, signal: AbortSignal): Promise<string> {
  const judgements = await plainJudgements(path, signal);
  if (judgements === null) return path;
  const copy = join(folder, "qrels.trec");
  await writeFile(copy, trecLines(judgements));
  return copy;
}

/** In pieces: the whole may be longer than a string can be. */
function* trecLines(judgements: readonly PlainJudgement[]): Generator<string> {
  for (let start = 0; start < judgements.length; start += PIECE_LINES) {
    const piece = judgements.slice(start, start + PIECE_LINES);
    yield piece.map(({ queryId, passageId, grade }) => `${queryId} 0 ${passageId} ${grade}\n`).join("");
  }
}
