/** Measures: of each evaluation side by side, and which queries changed. */
import { counted } from "../../counted.js";
import { formatCount, formatMeasure } from "../format.js";
import { leavesOf } from "../leaves.js";
import { html, type Markup } from "./markup.js";
import type { MovedQueries, ReportedRun, ReportedValues } from "./types.js";

/** A row for each run, evaluation and data set, a column for each measure, the best in bold; null without any. */
export function results(runs: readonly ReportedRun[]): Markup | null {
  const rows = runs.flatMap((run, colour) => run.evaluations.map((found) => ({ run, colour, found })));
  if (rows.length === 0) return null;
  const measures = [...new Set(rows.flatMap(({ found }) => Object.keys(found.values)))];
  const hasSets = rows.some(({ found }) => found.set !== null);
  const isBest = ({ set, values }: ReportedValues, measure: string): boolean => {
    // Values of different data sets do not compete.
    const others = rows.flatMap(({ found }) => (found.set === set ? [found.values[measure] ?? -Infinity] : []));
    return others.length > 1 && others.every((other) => other <= (values[measure] ?? -Infinity));
  };
  return html`<div class="wide"><table><tr>${runs.length > 1 && html`<th class="left">run</th>`}<th class="left">evaluation</th>${hasSets && html`<th class="left">data</th>`}${measures.map((measure) => html`<th>${measure}</th>`)}</tr>
${rows.map(
  ({
    run,
    colour,
    found,
  }) => html`<tr>${runs.length > 1 && html`<td class="left"><span class="key c${colour % 8}"></span>${run.name}</td>`}<td class="left">${found.step}</td>${hasSets && html`<td class="left">${found.set}</td>`}${measures.map((measure) => html`<td class="${isBest(found, measure) ? "best" : ""}">${shown(found, measure)}${gain(run, found, measure)}</td>`)}</tr>
`,
)}</table></div>`;
}

function shown({ values, estimates }: ReportedValues, measure: string): Markup {
  const value = values[measure];
  const estimate = estimates[measure];
  return html`${value === undefined ? "–" : formatMeasure(value)}${estimate && html`<br><span class="soft">all passages, estimated: ${estimate}</span>`}`;
}

/** Against the run's first evaluation of the same data. */
function gain(run: ReportedRun, found: ReportedValues, measure: string): Markup | null {
  const first = run.evaluations.find(({ set, values }) => set === found.set && values[measure] !== undefined);
  const [before, after] = [first?.values[measure], found.values[measure]];
  if (first === found || before === undefined || after === undefined) return null;
  return html` <span class="${direction(after - before)}">${signed(after - before)}</span>`;
}

function direction(difference: number): string {
  if (difference === 0) return "soft";
  return difference > 0 ? "up" : "down";
}

function signed(difference: number): string {
  return `${difference < 0 ? "−" : "+"}${formatMeasure(Math.abs(difference))}`;
}

/** How many queries gained and lost, by how much, and those that changed most; null where nothing can be compared. */
export function moved({ moved: found }: ReportedRun): Markup | null {
  if (found === null) return null;
  const { measure, from, to, better, worse, equal, most } = found;
  return html`<p>${measure}, ${from} → ${to}: <span class="up">${formatCount(better)} better</span>, <span class="down">${formatCount(worse)} worse</span>, ${formatCount(equal)} equal</p>
${histogram(found)}
${
  most.length > 0 &&
  html`<details><summary>the ${most.length} that changed most</summary><div class="wide"><table><tr><th class="left">query</th><th>before</th><th>after</th><th>change</th></tr>
${most.map(
  ({
    query,
    before,
    after,
  }) => html`<tr><td class="text">${query}</td><td>${formatMeasure(before)}</td><td>${formatMeasure(after)}</td><td class="${direction(after - before)}">${signed(after - before)}</td></tr>
`,
)}</table></div></details>`
}`;
}

function histogram({ bins }: MovedQueries): Markup {
  const highest = Math.max(1, ...bins);
  const width = 700 / bins.length;
  const side = (index: number): string => {
    const middle = (bins.length - 1) / 2;
    if (index === middle) return "same";
    return index > middle ? "up" : "down";
  };
  const low = (index: number): string => (-1 + (2 * index) / bins.length).toFixed(2);
  return html`<svg viewBox="0 0 720 120" role="img" aria-label="changes of the queries">
${bins.map((count, index) => {
  const height = Math.round((count / highest) * 90);
  const x = Math.round((10 + index * width) * 10) / 10;
  return html`<rect class="bar ${side(index)}" x="${x}" y="${100 - height}" width="${Math.round(width * 10) / 10 - 2}" height="${height}"><title>${counted(count, "queries")} by ${low(index)} to ${low(index + 1)}</title></rect>`;
})}
<text class="tick" x="10" y="116">−1</text><text class="tick" x="360" y="116" text-anchor="middle">no change</text><text class="tick" x="710" y="116" text-anchor="end">+1</text></svg>`;
}

/** Options in which the runs differ, a row each; null for one run, or where none does. */
export function differing(runs: readonly ReportedRun[]): Markup | null {
  if (runs.length < 2) return null;
  const flat = runs.map(
    ({ experiment }) => new Map(leavesOf(experiment).map(([path, value]) => [path, JSON.stringify(value)])),
  );
  const paths = [...new Set(flat.flatMap((leaf) => [...leaf.keys()]))];
  const rows = paths.filter((path) => path !== "name" && new Set(flat.map((leaf) => leaf.get(path))).size > 1);
  if (rows.length === 0) return html`<p>None.</p>`;
  return html`<div class="wide"><table><tr><th class="left">option</th>${runs.map(({ name }) => html`<th class="left">${name}</th>`)}</tr>
${rows.map(
  (
    path,
  ) => html`<tr><td class="left"><code>${path}</code></td>${flat.map((leaf) => html`<td class="text">${leaf.get(path) ?? "–"}</td>`)}</tr>
`,
)}</table></div>`;
}
