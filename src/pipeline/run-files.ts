/** What people name when they mean a run: a TREC file, values of each query, or a folder that an evaluation wrote. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
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
 * @param set where the folder holds a suite, the data set that is meant
 * @throws QuarryError CONFIG when nothing is there, or when a run folder holds several evaluations.
 */
export function findRun(name: string, set?: string): RunFiles {
  const path = existing(name);
  if (!statSync(path).isDirectory()) return { name, run: path, qrels: null };
  const all = judgedAmong(evaluationsIn(path, 2));
  const folders = set === undefined ? all : ofSet(name, all, set);
  const [only] = folders;
  if (only === undefined) {
    throw new QuarryError("CONFIG", `${name}: holds no run.trec and no per-query.json.`, {
      hint: "Name a run file, or the folder that an evaluation wrote, e.g. runs/<name>/evaluate-base.",
    });
  }
  if (folders.length > 1) throw severalIn(name, folders);
  return filesIn(name, only);
}

/**
 * The path of what somebody named.
 *
 * @throws QuarryError CONFIG when nothing is there.
 */
export function existing(name: string): string {
  const path = resolve(name);
  if (!existsSync(path)) throw new QuarryError("CONFIG", `there is no ${name} (looked for ${path}).`);
  return path;
}

/** @param folders the evaluations, as paths */
export function severalIn(name: string, folders: readonly string[]): QuarryError {
  const choices = folders.map((folder) => join(name, relative(resolve(name), folder)));
  return new QuarryError("CONFIG", `${name}: holds ${folders.length} evaluations.`, {
    hint: `Name one of ${choices.slice(0, 10).join(", ")}.`,
  });
}

/** The files of an evaluation's folder. */
export function filesIn(name: string, folder: string): RunFiles {
  const qrels = join(folder, "qrels.trec");
  const run = join(folder, "run.trec");
  return {
    name,
    run: existsSync(run) ? run : join(folder, "per-query.json"),
    qrels: existsSync(qrels) ? qrels : null,
  };
}

/** A search leaves a run without judgements: it is no evaluation where there are some. */
export function judgedAmong(folders: readonly string[]): readonly string[] {
  const judged = folders.filter((folder) => existsSync(join(folder, "qrels.trec")));
  return judged.length > 0 ? judged : folders;
}

/** How folders of evaluations are called, those in training included; a suite's holds one for each data set. */
const EVALUATION = /^(evaluate-|step-\d+$)/;

/** The data set that an evaluation's folder stands for; null where it is not one of a suite. */
export function setOf(folder: string): string | null {
  const name = basename(folder);
  // A run folder may be called step-1 as well, but what lies in it is no data set.
  const isStep = EVALUATION.test(name) || name.startsWith("search-");
  return !isStep && EVALUATION.test(basename(dirname(folder))) ? name : null;
}

/** Of a suite's folders those of one data set; what is no suite's is what it is, whatever its data is called. */
function ofSet(name: string, folders: readonly string[], set: string): readonly string[] {
  const sets = folders.map(setOf);
  if (sets.every((each) => each === null)) return folders;
  const own = folders.filter((_, at) => sets[at] === set);
  if (own.length > 0) return own;
  const known = [...new Set(sets.filter((each) => each !== null))];
  throw new QuarryError("CONFIG", `${name}: has no data set ${set}.`, { hint: `It has ${known.join(", ")}.` });
}

/** Folders with an evaluation's files: this one, or those in it, `depth` levels down. */
export function evaluationsIn(folder: string, depth: number): string[] {
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
  throw new QuarryError("CONFIG", `the runs were judged differently: ${first} and ${other} are not equal.`, { hint });
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
