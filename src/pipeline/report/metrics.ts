/** The measures that a run folder holds. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { QuarryError } from "../../errors.js";
import type { ReportedValues } from "../../report/html/types.js";
import { describeEstimate, type Estimate } from "../quick-look.js";

type Metrics = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/**
 * What metrics.json of a run folder holds: values of each evaluation, or of each of its data sets.
 *
 * @throws QuarryError INTEGRITY when it is no JSON.
 */
export async function metricsIn(runDir: string): Promise<ReportedValues[]> {
  return evaluationsOf(await read(runDir));
}

async function read(runDir: string): Promise<Metrics> {
  try {
    return JSON.parse(await readFile(join(runDir, "metrics.json"), "utf8")) as Metrics;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return {};
    if (!(thrown instanceof SyntaxError)) throw thrown;
    throw new QuarryError("INTEGRITY", `${join(runDir, "metrics.json")} is no JSON.`, { cause: thrown });
  }
}

const ESTIMATED = "/whole-corpus";

/** Estimates stand under names of their own. */
function evaluationsOf(metrics: Metrics): ReportedValues[] {
  return Object.entries(metrics).flatMap(([step, found]) => {
    if (step.endsWith(ESTIMATED)) return [];
    const estimated = metrics[`${step}${ESTIMATED}`] ?? {};
    const isSuite = Object.values(found).some((value) => typeof value === "object");
    const sets = isSuite ? Object.entries(found) : [[null, found] as const];
    return sets.map(([set, values]) => ({
      step,
      set,
      values: values as Readonly<Record<string, number>>,
      estimates: inWords((set === null ? estimated : estimated[set]) as Readonly<Record<string, Estimate>> | undefined),
    }));
  });
}

function inWords(estimates: Readonly<Record<string, Estimate>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(estimates).map(([measure, found]) => [measure, describeEstimate(found)]));
}
