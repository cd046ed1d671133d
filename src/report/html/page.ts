/** One page on one run or several, in one file that needs nothing else: no script, no font, no network. */
import { formatCount, formatDuration } from "../format.js";
import { charts } from "./curves.js";
import { html, type Markup } from "./markup.js";
import { details, notes, phases } from "./record.js";
import { differing, moved, results } from "./results.js";
import { style } from "./style.js";
import type { ReportedRun } from "./types.js";

/**
 * The page as text. Of several runs what they have in common comes first: their measures side by side, their curves on
 * common axes, the options in which they differ.
 *
 * @param runs at least one
 */
export function reportPage(runs: readonly ReportedRun[]): string {
  const title = runs.length === 1 ? (runs[0] as ReportedRun).name : `${runs.length} runs`;
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="generator" content="Quarry">
<title>${title} · Quarry</title>
<style>${style}</style>
</head>
<body>
${runs.length === 1 ? heading(runs[0] as ReportedRun, "h1") : html`<h1>${title}</h1>`}
${section("Measures", results(runs))}
${section("Options that differ", differing(runs))}
${section("Training", charts(runs))}
${runs.map((run) => section(runs.length > 1 ? run.name : null, own(run, runs.length > 1)))}
</body>
</html>
`;
  return page.text;
}

function own(run: ReportedRun, hasHeading: boolean): Markup {
  return html`${hasHeading && heading(run, null)}
${part("Queries that changed", moved(run))}
${part("What was told", notes(run))}
${part("Where the time went", phases(run))}
${part("Where the numbers come from", details(run))}`;
}

/** What a reader wants to know first. */
function heading(run: ReportedRun, level: "h1" | null): Markup {
  const began = run.startedAt === null ? "never started" : `started ${moment(run.startedAt)}`;
  const worked = `${formatDuration(run.seconds)} at work${run.starts > 1 ? ` in ${formatCount(run.starts)} starts` : ""}`;
  return html`${level && html`<h1>${run.name}</h1>`}<p><b class="${run.status === "failed" ? "error" : ""}">${run.status}</b>, ${began}, ${worked}</p><p class="soft"><code>${run.path}</code></p>`;
}

/** To the minute, in universal time: whoever reads it may be elsewhere. */
function moment(time: number): string {
  return `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

function section(title: string | null, content: Markup | null): Markup | null {
  return content && html`<section>${title && html`<h2>${title}</h2>`}${content}</section>`;
}

function part(title: string, content: Markup | null): Markup | null {
  return content && html`<h3>${title}</h3>${content}`;
}
