/** What a run went through, and the record that its numbers rest on. */
import { counted } from "../../counted.js";
import { formatCount, formatDuration, formatRate } from "../format.js";
import { html, type Markup } from "./markup.js";
import type { ReportedPhase, ReportedRun } from "./types.js";

/** Errors, lost workers, warnings and notes; null where nothing was told. */
export function notes({ notes: told }: ReportedRun): Markup | null {
  if (told.length === 0) return null;
  return html`<table>${told.map(
    ({
      level,
      text,
      hint,
      count,
    }) => html`<tr><td class="left ${level}">${level}${count > 1 && html` × ${formatCount(count)}`}</td><td class="text">${text}${hint && html`<br><span class="soft">${hint}</span>`}</td></tr>
`,
  )}</table>`;
}

/** A row for each phase in the order they began. */
export function phases({ phases: all }: ReportedRun): Markup | null {
  if (all.length === 0) return null;
  return html`<div class="wide"><table><tr><th class="left">phase</th><th>done</th><th>time</th><th>rate</th></tr>
${all.map(
  (
    phase,
  ) => html`<tr><td class="left">${phase.label}</td><td>${phase.isCached ? "" : counted(phase.done, phase.unit)}</td><td>${phase.seconds === null ? "not ended" : formatDuration(phase.seconds)}</td><td>${rate(phase)}</td></tr>
`,
)}</table></div>`;
}

function rate({ isCached, seconds, done }: ReportedPhase): string {
  if (isCached) return "from the cache";
  return seconds === null || seconds === 0 || done === 0 ? "" : formatRate(done / seconds);
}

/** The experiment and the environment, whole. */
export function details({ experiment, environment }: ReportedRun): Markup {
  return html`<details><summary>the experiment, every default filled in</summary><pre>${JSON.stringify(experiment, null, 2)}</pre></details>
<details><summary>versions, machine, seeds, fingerprints of models and data</summary><pre>${JSON.stringify(environment, null, 2)}</pre></details>`;
}
