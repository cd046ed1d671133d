/** Makes the values of measured rankings known: the event stream, and metrics.json. */
import type { RunContext } from "./context.js";
import type { EvaluateResult, SetResult } from "./evaluation-result.js";
import { AVERAGE, averageOf } from "./suite.js";

/** What was evaluated: a step of the run, and what the user knows it by. */
interface Evaluated {
  /** The step, which is the name of its folder and in metrics.json. */
  readonly step: string;
  readonly label: string;
}

/** Tells the values of one data set; `name` is null for the only one. */
export function tellMetrics(
  context: RunContext,
  { step, label }: Evaluated,
  name: string | null,
  { values, queryCount, part }: Pick<SetResult, "values" | "queryCount" | "part">,
): void {
  const searched = part && [part.searched, part.total].map((count) => count.toLocaleString("en-US")).join(" of ");
  const shown = [name, label, searched && `${searched} passages`].filter((each) => each != null).join(", ");
  context.events.emit({ type: "metrics", phase: step, label: shown, values, queryCount });
}

/** Writes the values of all data sets to metrics.json, and tells their average when they are several. */
export async function recordEvaluation(
  context: RunContext,
  evaluated: Evaluated,
  sets: EvaluateResult["sets"],
): Promise<EvaluateResult> {
  const [first] = sets;
  const isSuite = first !== undefined && first.name !== null;
  const values = isSuite ? averageOf(sets) : (first?.values ?? {});
  const shown = isSuite
    ? { ...Object.fromEntries(sets.map(({ name, values: own }) => [name, own])), [AVERAGE]: values }
    : values;
  await context.runDir.updateJson<Record<string, unknown>>("metrics.json", (before) => ({
    ...before,
    [evaluated.step]: shown,
    ...estimatesOf(evaluated.step, sets),
  }));
  const queryCount = sets.reduce((sum, set) => sum + set.queryCount, 0);
  if (isSuite) {
    const isLook = sets.some(({ part }) => part !== undefined);
    const label = isLook ? `${evaluated.label}, parts of the passages` : evaluated.label;
    tellMetrics(context, { ...evaluated, label }, AVERAGE, { values, queryCount });
  }
  return { values, sets };
}

/** Estimates stand beside the values, under a name of their own, so that nobody takes the one for the other. */
function estimatesOf(step: string, sets: EvaluateResult["sets"]): Record<string, unknown> {
  const estimated = sets.filter(({ wholeCorpus }) => wholeCorpus !== undefined);
  if (estimated.length === 0) return {};
  const [only] = estimated;
  const all = Object.fromEntries(estimated.map(({ name, wholeCorpus }) => [name, wholeCorpus]));
  return { [`${step}/whole-corpus`]: only?.name === null ? only.wholeCorpus : all };
}
