/** Training over its steps: what the curves of one run look like, and of several beside each other. */
import { counted } from "../../counted.js";
import { formatCount, formatLearningRate, formatLoss, formatMeasure } from "../format.js";
import { chart, type Line } from "./chart.js";
import { html, type Markup } from "./markup.js";
import type { Curve, ReportedRun, ReportedTraining } from "./types.js";

/** Loss, evaluations, learning rate and gradients; null where nothing was trained. */
export function charts(runs: readonly ReportedRun[]): Markup | null {
  const trained = runs.flatMap((run, colour) => (run.training === null ? [] : [{ run, colour, of: run.training }]));
  if (trained.length === 0) return null;
  const lines = (curve: (of: ReportedTraining) => Curve): Line[] =>
    trained.map(({ run, colour, of }) => ({ label: run.name, colour, curve: curve(of) }));
  // One after the other's switches would not be told apart.
  const switches = trained.length === 1 ? (trained[0]?.of.switches ?? []) : [];
  const events = switches.map((step) => ({ step, label: `other negatives after step ${formatCount(step)}` }));
  const told = trained.flatMap(({ of }) => of.evaluations.flatMap(({ values }) => Object.keys(values)));
  // Of a suite the averages, and what chooses the best checkpoint; each data set's own would be dozens.
  const chosenBy = new Set(trained.map(({ of }) => of.best?.measure));
  const measures = [...new Set(told)].filter((name) => !name.includes("/") || chosenBy.has(name));
  const drawn = [
    chart(
      lines(({ loss }) => loss),
      { title: "loss", format: formatLoss, events },
    ),
    ...measures.map((measure) =>
      chart(
        trained.map(({ run, colour, of }) => ({ label: run.name, colour, ...evaluated(of, measure) })),
        { title: measure, format: formatMeasure, events, hasDots: true },
      ),
    ),
    chart(
      lines(({ learningRate }) => learningRate),
      { title: "learning rate", format: formatLearningRate },
    ),
    chart(
      lines(({ gradNorm }) => gradNorm),
      { title: "norm of the gradient", format: formatLoss, events },
    ),
  ];
  return html`${trained.map(({ run, colour, of }) => html`<p>${trained.length > 1 && html`<span class="key c${colour % 8}">${run.name}:</span>`}${words(of)}</p>`)}<div class="charts">${drawn}</div>`;
}

function evaluated(of: ReportedTraining, measure: string): Pick<Line, "curve" | "mark"> {
  const curve = of.evaluations.flatMap(({ step, values }) => {
    const mean = values[measure];
    return mean === undefined ? [] : [{ step, mean, least: mean, most: mean }];
  });
  const { best } = of;
  if (best?.measure !== measure) return { curve };
  const label = `best: step ${formatCount(best.step)}, ${formatMeasure(best.value)}`;
  return { curve, mark: { step: best.step, value: best.value, label } };
}

function words({ steps, maxSteps, lastLoss, waitShare, best, switches }: ReportedTraining): string {
  const isWhole = maxSteps === null || maxSteps === steps;
  const told = [isWhole ? counted(steps, "steps") : `${formatCount(steps)} of ${counted(maxSteps, "steps")}`];
  if (lastLoss !== null) told.push(`last loss ${formatLoss(lastLoss)}`);
  if (waitShare !== null) told.push(`${(waitShare * 100).toFixed(1)} % of the time spent waiting for data`);
  if (best !== null) told.push(`best ${best.measure} ${formatMeasure(best.value)} at step ${formatCount(best.step)}`);
  if (switches.length > 0) {
    told.push(`negatives mined anew ${switches.length === 1 ? "once" : `${formatCount(switches.length)} times`}`);
  }
  return told.join(", ");
}
