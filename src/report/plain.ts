/** A run as plain lines, for pipes, files and CI: one line for each thing worth knowing, no cursor codes. */
import { counted } from "../counted.js";
import type { EventBodyOf, EventListener, QuarryEvent } from "./events.js";
import * as format from "./format.js";
import type { Sink } from "./sink.js";
import { emptyView, type Notice, type PhaseView, phaseEta, phaseRate, reduce, type ViewState } from "./state.js";
import { oneLine } from "./text-width.js";

/** Lines of progress keep this distance, and come after a tenth of the work or a minute, whichever is first. */
const pace = { minMs: 10_000, maxMs: 60_000, share: 0.1 };

/** When a counter was last written. */
interface Mark {
  readonly time: number;
  readonly share: number;
}

function isDue(mark: Mark | undefined, time: number, share: number): boolean {
  if (mark === undefined) return true;
  const passed = time - mark.time;
  return passed >= pace.minMs && (passed >= pace.maxMs || share - mark.share >= pace.share - 1e-9);
}

/** "scifact: 2,048/5,183 passages (39 %), 190/s, 16 s left" */
function progressLine(phase: PhaseView, now: number): string {
  const rate = phaseRate(phase, now);
  const eta = phaseEta(phase, now);
  const share = phase.total ? ` (${format.formatShare(phase.done / phase.total)})` : "";
  const parts = [`${phase.label}: ${format.doneOf(phase)}${share}`];
  if (rate !== null) parts.push(format.formatRate(rate));
  if (eta !== null) parts.push(`${format.formatDuration(eta)} left`);
  return parts.join(", ");
}

function finishLine(phase: PhaseView): string {
  const seconds = phase.seconds ?? 0;
  const rate = phaseRate({ ...phase, ratePerSecond: null }, 0);
  const speed = rate === null ? "" : ` (${format.formatRate(rate)})`;
  const time = format.formatDuration(seconds);
  if (phase.isCached) return `${phase.label}: done in ${time}, the cache had all of it`;
  return `${phase.label}: done, ${counted(phase.done, phase.unit)} in ${time}${speed}`;
}

function stepLine(step: NonNullable<ViewState["training"]>): string {
  const parts = [`step ${step.step}/${step.maxSteps}: loss ${format.formatLoss(step.loss)}`];
  parts.push(`learning rate ${format.formatLearningRate(step.learningRate)}`);
  if (step.negatives !== undefined) parts.push(format.ageWords(step.negatives));
  if (step.stepsPerSecond !== null) {
    parts.push(`${format.formatRate(step.stepsPerSecond).replace("/s", "")} steps/s`);
    if (step.stepsPerSecond > 0 && step.step < step.maxSteps) {
      parts.push(`${format.formatDuration((step.maxSteps - step.step) / step.stepsPerSecond)} left`);
    }
  }
  return parts.join(", ");
}

function measuresLine(event: EventBodyOf<"metrics">): string {
  const values = Object.entries(event.values).map(([name, value]) => `${name} ${format.formatMeasure(value)}`);
  return `${event.label}: ${values.join(", ")} (${counted(event.queryCount, "queries")})`;
}

function evaluationLine({ step, measure, values, queryCount, best }: EventBodyOf<"evaluation">): string {
  const shown = Object.entries(values).map(([name, value]) => `${oneLine(name)} ${format.formatMeasure(value)}`);
  const lead = `best ${oneLine(measure)} ${format.formatMeasure(best.value)} at step ${best.step}`;
  return `step ${step} evaluated: ${shown.join(", ")} (${counted(queryCount, "queries")}); ${best.step === step ? "the best so far" : lead}`;
}

/** The words of a warning or error; shared with what the dashboard leaves behind. */
export function noticeLine(notice: Pick<Notice, "level" | "text" | "hint">): string {
  return `${notice.level}: ${notice.text}${notice.hint === null ? "" : ` (${notice.hint})`}`;
}

/** The last lines of a run: how it ended and where its files are. */
export function closingLines(view: ViewState): string[] {
  const tables = view.summaries.flatMap(({ columns, rows }) => ["", ...format.tableLines(columns, rows)]);
  const lines = tables.length === 0 ? [] : [...tables, ""];
  if (view.finished === null) return lines;
  const { status, seconds } = view.finished;
  const runDir = view.run?.runDir ?? view.finished.runDir;
  return [
    ...lines,
    `${status} ${status === "done" ? "in" : "after"} ${format.formatDuration(seconds)}`,
    `run folder: ${runDir}`,
  ];
}

/** A listener that writes lines to stdout, and errors to stderr; it starts from `view` when it takes over half-way. */
export function plainReporter(stdout: Sink, stderr: Sink, view: ViewState = emptyView): EventListener {
  const marks = new Map<string, Mark>();
  const told = new Set<string>();
  const origin = { time: view.run?.startedAt ?? null };

  const isNew = (key: string): boolean => {
    if (told.has(key)) return false;
    // Bounded: a library that warns anew at each step must not grow the process.
    if (told.size < 1000) told.add(key);
    return true;
  };

  const linesOf = (event: QuarryEvent): readonly string[] => {
    switch (event.type) {
      case "runStarted":
        return [`run ${view.run?.name} in ${view.run?.runDir}${event.isResumed ? " (resumed)" : ""}`];
      case "phaseStarted": {
        const phase = view.phases.at(-1);
        const total = event.total === null ? "" : `, ${counted(event.total, event.unit)}`;
        marks.set(event.phase, { time: event.time, share: 0 });
        return [`${phase?.label}: started${total}`];
      }
      case "progress": {
        const phase = view.phases.find(({ id }) => id === event.phase);
        const share = phase?.total ? phase.done / phase.total : 0;
        const isToldBySteps = phase?.unit === "steps" && view.training !== null;
        if (phase === undefined || isToldBySteps || share >= 1) return [];
        if (!isDue(marks.get(event.phase), event.time, share)) return [];
        marks.set(event.phase, { time: event.time, share });
        return [progressLine(phase, event.time)];
      }
      case "phaseFinished": {
        const phase = view.phases.find(({ id }) => id === event.phase);
        return phase === undefined ? [] : [finishLine(phase)];
      }
      case "trainStep": {
        const share = event.step / event.maxSteps;
        if (event.step < event.maxSteps && !isDue(marks.get("trainStep"), event.time, share)) return [];
        marks.set("trainStep", { time: event.time, share });
        return [stepLine(event)];
      }
      case "negativesSwitched":
        return [format.negativesWords(event)];
      case "checkpoint":
        return [`checkpoint of step ${event.step}: ${oneLine(event.path)}`];
      case "evaluation":
        return [evaluationLine(event)];
      case "metrics":
        return [measuresLine({ ...event, label: view.metrics.at(-1)?.label ?? event.label })];
      case "worker": {
        const worker = view.workers.find(({ name }) => name === oneLine(event.worker));
        if (event.state !== "lost" || worker === undefined) return [];
        return [`warning: ${worker.name} lost${worker.detail === null ? "" : `: ${worker.detail}`}`];
      }
      case "notice":
      case "warning":
      case "error":
      case "log": {
        const notice = view.notices.at(-1);
        const isQuiet = event.type === "log" && event.level !== "warning" && event.level !== "error";
        if (isQuiet || notice === undefined) return [];
        // A worker may join twice; the same warning twice says nothing new.
        const isRepeatable = event.type === "error" || event.type === "notice";
        if (!isRepeatable && !isNew(`${notice.level} ${notice.text}`)) return [];
        return [noticeLine(notice)];
      }
      case "summary":
        return [];
      case "runFinished":
        return closingLines(view);
    }
  };

  return (event) => {
    if (event.type === "runStarted") marks.clear();
    view = reduce(view, event);
    if (event.type === "runStarted" || origin.time === null) origin.time = event.time;
    const clock = `[${format.formatClock((event.time - origin.time) / 1000)}]`;
    const isError = event.type === "error" || (event.type === "log" && event.level === "error");
    // The closing table stands alone, so that it can be copied; everything else carries its moment.
    const stamp = event.type === "runFinished" ? "" : `${clock} `;
    for (const line of linesOf(event)) (isError ? stderr : stdout).line(`${stamp}${line}`.trimEnd());
  };
}
