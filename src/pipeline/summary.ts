/** The small table at the end of a run: measures of each model, rates. */
import type { EventBody } from "../report/events.js";
import { formatCount } from "../report/format.js";
import type { EvaluateResult } from "./evaluation-result.js";
import { describeEstimate } from "./quick-look.js";
import { suiteTable, WHOLE } from "./suite.js";
import type { TrainResult } from "./train.js";

/** What the steps of a run left, by step name. */
export interface StepResults {
  readonly evaluations: ReadonlyMap<string, EvaluateResult>;
  readonly train: TrainResult | null;
  /** Of every search and every encoding of passages. */
  readonly throughputs: readonly Throughput[];
  /** What was written, by its name and how much of it there is. */
  readonly written: readonly (readonly [name: string, count: number])[];
}

/** Texts worked on and the seconds that it took, models' loading left out. */
export interface Throughput {
  readonly texts: number;
  readonly seconds: number;
}

/** A row per measure with a column per evaluated model, then the rates; null when there is nothing to show. */
export function summarise(results: StepResults): EventBody | null {
  const suite = suiteTable(results.evaluations);
  const labels = [...results.evaluations.keys()];
  const names = [...new Set([...results.evaluations.values()].flatMap(({ values }) => Object.keys(values)))];
  const wantsGain = labels.length === 2;
  const rows =
    suite?.rows ??
    names.map((name) => {
      const values = [...results.evaluations.values()].map((result) => result.values[name]);
      const cells = values.map((value) => (value === undefined ? "-" : value.toFixed(4)));
      if (!wantsGain) return [name, ...cells];
      const gain = (values[1] ?? 0) - (values[0] ?? 0);
      return [name, ...cells, `${gain >= 0 ? "+" : ""}${gain.toFixed(4)}`];
    });
  if (suite === null) rows.push(...estimateRows(results.evaluations, names, wantsGain));
  const columns = suite?.columns ?? ["", ...labels, ...(wantsGain ? ["gain"] : [])];
  const width = columns.length - 1;
  const wide = (name: string, value: string): string[] => [
    name,
    ...Array<string>(Math.max(0, width - 1)).fill(""),
    value,
  ];
  const texts = results.throughputs.reduce((sum, each) => sum + each.texts, 0);
  const seconds = results.throughputs.reduce((sum, each) => sum + each.seconds, 0);
  if (texts > 0) rows.push(wide("passages/s", (texts / seconds).toFixed(1)));
  if (results.train?.stepsPerSecond != null) rows.push(wide("steps/s", results.train.stepsPerSecond.toFixed(2)));
  if (results.train?.waitShare != null) rows.push(wide("waits", `${(results.train.waitShare * 100).toFixed(1)} %`));
  const chosen = results.train?.chosen;
  if (chosen !== undefined) {
    rows.push(wide("best step", `${chosen.best.step} (${chosen.best.measure} ${chosen.best.value.toFixed(4)})`));
    if (chosen.isStoppedEarly) rows.push(wide("stopped early at step", String(chosen.last)));
  }
  for (const [name, count] of results.written) rows.push(wide(name, formatCount(count)));
  if (rows.length === 0) return null;
  return { type: "summary", columns: columns.length > 1 ? columns : ["", "value"], rows };
}

/** What a quick look estimates for the whole corpus, below what it measured. */
function estimateRows(
  evaluations: ReadonlyMap<string, EvaluateResult>,
  names: readonly string[],
  wantsGain: boolean,
): string[][] {
  const found = [...evaluations.values()].map(({ sets }) => sets[0]?.wholeCorpus);
  return names
    .filter((name) => found.some((estimates) => estimates?.[name] !== undefined))
    .map((name) => {
      const cells = found.map((estimates) => (estimates?.[name] ? describeEstimate(estimates[name]) : "-"));
      return [`${name}${WHOLE}`, ...cells, ...(wantsGain ? [""] : [])];
    });
}
