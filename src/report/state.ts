/** What a watcher of a run knows: a pure reducer from events to the view that the dashboard and the plain lines share. */
import type { EventBody, EventBodyOf, QuarryEvent } from "./events.js";
import * as format from "./format.js";
import { addLoss, emptyLossHistory, type LossHistory } from "./loss-history.js";
import { oneLine } from "./text-width.js";

type EventOf<T extends EventBody["type"]> = Extract<QuarryEvent, { readonly type: T }>;

/** A phase as far as it has come; `seconds` is null while it is at work. Times are milliseconds since the epoch. */
export interface PhaseView {
  readonly id: string;
  readonly label: string;
  readonly unit: EventOf<"phaseStarted">["unit"];
  readonly startedAt: number;
  readonly updatedAt: number;
  readonly done: number;
  /** What a resumed run had done before: the first progress it reports; 0 in a fresh run, null before any progress. */
  readonly firstDone: number | null;
  readonly total: number | null;
  readonly ratePerSecond: number | null;
  readonly seconds: number | null;
  /** Whether the cache had all of it. */
  readonly isCached: boolean;
}

export type WorkerView = Omit<EventBodyOf<"worker">, "type" | "worker"> & { readonly name: string };

/** A note, a warning or an error; the same one again raises `count`. */
export interface Notice {
  readonly level: "note" | "warning" | "error";
  readonly text: string;
  readonly hint: string | null;
  readonly count: number;
}

/** Everything that is shown of a run. Texts from outside are one visible line each. */
export interface ViewState {
  readonly run: (Pick<EventOf<"runStarted">, "name" | "runDir" | "steps" | "isResumed"> & { startedAt: number }) | null;
  /** In the order in which they began. */
  readonly phases: readonly PhaseView[];
  /** In the natural order of their names: worker-2 before worker-10. */
  readonly workers: readonly WorkerView[];
  readonly losses: LossHistory;
  readonly training: EventOf<"trainStep"> | null;
  readonly checkpoint: EventOf<"checkpoint"> | null;
  /** Of the training, in the order of their steps. */
  readonly evaluations: readonly EventOf<"evaluation">[];
  readonly metrics: readonly EventOf<"metrics">[];
  /** The last distinct ones, oldest first. */
  readonly notices: readonly Notice[];
  /** The tables of a run, e.g. one for each question that was asked, and the last one on the whole. */
  readonly summaries: readonly EventOf<"summary">[];
  readonly finished: EventOf<"runFinished"> | null;
}

export const emptyView: ViewState = {
  run: null,
  phases: [],
  workers: [],
  losses: emptyLossHistory,
  training: null,
  checkpoint: null,
  evaluations: [],
  metrics: [],
  notices: [],
  summaries: [],
  finished: null,
};

const maxNotices = 20;
const byName = new Intl.Collator("en", { numeric: true });

function withPhase(state: ViewState, id: string, change: (phase: PhaseView) => PhaseView): ViewState {
  return { ...state, phases: state.phases.map((phase) => (phase.id === id ? change(phase) : phase)) };
}

function withWorker(state: ViewState, event: EventOf<"worker">): ViewState {
  const name = oneLine(event.worker);
  const { state: life, device, done, ratePerSecond } = event;
  const detail = event.detail === null ? null : oneLine(event.detail);
  const worker = { name, state: life, device: device === null ? null : oneLine(device), done, ratePerSecond, detail };
  const isKnown = state.workers.some((known) => known.name === name);
  const workers = isKnown
    ? state.workers.map((known) => (known.name === name ? worker : known))
    : [...state.workers, worker].sort((a, b) => byName.compare(a.name, b.name));
  return { ...state, workers };
}

function withNotice(state: ViewState, level: Notice["level"], message: string, hint: string | null): ViewState {
  const text = oneLine(message);
  const earlier = state.notices.find((notice) => notice.level === level && notice.text === text);
  const notice = { level, text, hint: hint === null ? null : oneLine(hint), count: (earlier?.count ?? 0) + 1 };
  const others = state.notices.filter((other) => other !== earlier);
  return { ...state, notices: [...others, notice].slice(-maxNotices) };
}

/** The view after one more event. Pure: the clock is the event's own time. */
export function reduce(state: ViewState, event: QuarryEvent): ViewState {
  switch (event.type) {
    case "runStarted": {
      const steps = event.steps.map(oneLine);
      const run = { name: oneLine(event.name), runDir: oneLine(event.runDir), steps, isResumed: event.isResumed };
      // What was said before the start (a warning while the experiment was read) still belongs to this run.
      return { ...emptyView, notices: state.finished ? [] : state.notices, run: { ...run, startedAt: event.time } };
    }
    case "phaseStarted": {
      const others = state.phases.filter((phase) => phase.id !== event.phase);
      const { phase: id, unit, total, time } = event;
      const fresh = { done: 0, firstDone: null, ratePerSecond: null, seconds: null, isCached: false };
      const phase = { id, label: oneLine(event.label), unit, total, startedAt: time, updatedAt: time, ...fresh };
      return { ...state, phases: [...others, phase] };
    }
    case "progress":
      return withPhase(state, event.phase, (phase) => ({
        ...phase,
        done: event.done,
        firstDone: phase.firstDone ?? (state.run?.isResumed ? event.done : 0),
        total: event.total ?? phase.total,
        ratePerSecond: event.ratePerSecond,
        updatedAt: event.time,
      }));
    case "phaseFinished":
      return withPhase(state, event.phase, (phase) => ({
        ...phase,
        done: event.done,
        seconds: event.seconds,
        isCached: event.isCached === true,
        updatedAt: event.time,
      }));
    case "worker":
      return withWorker(state, event);
    case "trainStep":
      return { ...state, training: event, losses: addLoss(state.losses, event.loss) };
    case "negativesSwitched":
      return withNotice(state, "note", format.negativesWords(event), null);
    case "checkpoint":
      return { ...state, checkpoint: event };
    case "evaluation": {
      const others = state.evaluations.filter(({ step }) => step !== event.step);
      return { ...state, evaluations: [...others, event].sort((a, b) => a.step - b.step) };
    }
    case "metrics": {
      const metrics = state.metrics.filter((known) => known.phase !== event.phase || known.label !== event.label);
      return { ...state, metrics: [...metrics, { ...event, label: oneLine(event.label) }] };
    }
    case "notice":
      return withNotice(state, "note", event.message, event.hint);
    case "warning":
      return withNotice(state, "warning", event.message, event.hint);
    case "error":
      return withNotice(state, "error", event.message, event.hint);
    case "log":
      if (event.level !== "warning" && event.level !== "error") return state;
      return withNotice(state, event.level, `${event.source}: ${event.text}`, null);
    case "summary": {
      const rows = event.rows.map((row) => row.map(oneLine));
      const summary = { ...event, columns: event.columns.map(oneLine), rows };
      return { ...state, summaries: [...state.summaries, summary] };
    }
    case "runFinished":
      return { ...state, finished: event };
  }
}

/** Things per second: the pool's own figure over the last seconds, else the mean since the phase began. */
export function phaseRate(phase: PhaseView, now: number): number | null {
  if (phase.ratePerSecond !== null) return phase.ratePerSecond;
  const seconds = phase.seconds ?? (now - phase.startedAt) / 1000;
  const done = phase.done - (phase.firstDone ?? 0);
  return seconds > 0 && done > 0 ? done / seconds : null;
}

/** Seconds until a phase is done, counted down between two events; null while nobody can know, as when they ran out before the work. */
export function phaseEta(phase: PhaseView, now: number): number | null {
  const rate = phaseRate(phase, now);
  if (phase.total === null || rate === null || rate <= 0 || phase.seconds !== null) return null;
  const sinceUpdate = phase.ratePerSecond === null ? 0 : (now - phase.updatedAt) / 1000;
  const left = (phase.total - phase.done) / rate - sinceUpdate;
  return left > 0 ? left : null;
}
