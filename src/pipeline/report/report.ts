/** `report`: what run folders recorded, as one HTML page. The folders are only read. */
import { join, resolve } from "node:path";
import { QuarryError } from "../../errors.js";
import { reportPage } from "../../report/html/page.js";
import type { ReportedRun } from "../../report/html/types.js";
import { isAtWork, readRunDir } from "../../rundir/directory.js";
import { writeFileDurably } from "../../rundir/durable.js";
import { readCurves } from "./curve.js";
import { metricsIn } from "./metrics.js";
import { movedQueries } from "./moved.js";
import { readEvents } from "./told.js";

/** Where a report goes. */
export interface ReportOptions {
  /** Default: report.html in the run's folder; of several runs in the working folder. */
  readonly out?: string;
}

/** A report that was written. */
export interface WrittenReport {
  /** Absolute. */
  readonly path: string;
}

/** See the verb in ../index.ts. */
export async function writeReport(
  runDirs: string | readonly string[],
  { out }: ReportOptions = {},
): Promise<WrittenReport> {
  const folders = typeof runDirs === "string" ? [runDirs] : runDirs;
  const [only] = folders;
  if (only === undefined) {
    throw new QuarryError("CONFIG", "A report is of one run at least.", { hint: "quarry report runs/<name>" });
  }
  const runs: ReportedRun[] = [];
  for (const folder of folders) runs.push(await readRun(folder));
  const path = resolve(out ?? join(folders.length === 1 ? only : ".", "report.html"));
  await writeFileDurably(path, reportPage(toldApart(runs, folders)));
  return { path };
}

/** One experiment may have run in several folders (`--runDir`): where names are equal, runs are called by their folders. */
function toldApart(runs: readonly ReportedRun[], folders: readonly string[]): ReportedRun[] {
  const count = (name: string): number => runs.filter((run) => run.name === name).length;
  return runs.map((run, at) => (count(run.name) > 1 ? { ...run, name: folders[at] as string } : run));
}

async function readRun(folder: string): Promise<ReportedRun> {
  const { path, experiment, environment } = await readRunDir(folder);
  const told = await readEvents(join(path, "events.jsonl"));
  const curves = await readCurves(join(path, "train", "steps.jsonl"));
  const evaluations = await metricsIn(path);
  const { startedAt, seconds, starts, maxSteps, best, switches, phases, notes } = told;
  return {
    ...{ startedAt, seconds, starts, phases, notes },
    name: (experiment as { readonly name: string }).name,
    path,
    status: statusOf(told, await isAtWork(path)),
    evaluations,
    training: curves && { ...curves, maxSteps, evaluations: told.evaluations, best, switches },
    moved: await movedQueries(path, [...new Set(evaluations.map(({ step }) => step))]),
    experiment,
    environment,
  };
}

function statusOf({ starts, ended }: Awaited<ReturnType<typeof readEvents>>, isOpen: boolean): ReportedRun["status"] {
  if (isOpen) return "at work";
  if (ended !== null) return ended;
  return starts === 0 ? "not started" : "killed";
}
