/** Which lines of the dashboard get a place: pure arithmetic over what there is to show and the height of the terminal. */
import type { PhaseView, ViewState, WorkerView } from "../state.js";

/** How many lines each part of the frame takes; a heading counts. */
export interface Layout {
  /** Running phases, two lines each. */
  readonly active: number;
  /** Finished phases, the last ones. */
  readonly finished: number;
  /** The loss, and below it the measures of its checkpoints. */
  readonly training: number;
  /** Lines for workers, heading and "… and N more" included. */
  readonly workers: number;
  /** Lines for measures, heading included. */
  readonly measures: number;
  readonly notices: number;
  /** Whether parts are set apart by blank lines. */
  readonly isAiry: boolean;
}

/** Phases at work, newest last. */
export function activePhases(view: ViewState): readonly PhaseView[] {
  return view.phases.filter((phase) => phase.seconds === null);
}

/** Workers worth a row: those that left in peace disappear while others are at work. */
export function visibleWorkers(view: ViewState): readonly WorkerView[] {
  const present = view.workers.filter((worker) => worker.state !== "stopped");
  return present.length > 0 ? present : view.workers;
}

/** Shares out the lines of a terminal: what is urgent first, then workers get what remains. */
export function layOut(view: ViewState, rows: number): Layout {
  const want = {
    active: Math.min(2, activePhases(view).length),
    finished: Math.min(3, view.phases.filter((phase) => phase.seconds !== null).length),
    training: view.training === null ? 0 : view.evaluations.length === 0 ? 1 : 2,
    workers: visibleWorkers(view).length === 0 ? 0 : visibleWorkers(view).length + 1,
    measures: view.metrics.length === 0 ? 0 : Math.min(4, view.metrics.length + 1),
    notices: Math.min(3, view.notices.length),
  };
  // One line stays free for the cursor: a frame as high as the terminal would scroll it. Header and footer take one each.
  let free = Math.max(0, rows - 3);
  const got = { active: 0, finished: 0, training: 0, workers: 0, measures: 0, notices: 0 };
  const give = (part: keyof typeof got, lines: number, linesEach = 1) => {
    const taken = Math.max(0, Math.min(lines, want[part] - got[part], Math.floor(free / linesEach)));
    got[part] += taken;
    free -= taken * linesEach;
  };
  give("active", 1, 2);
  give("notices", 1);
  give("training", 1);
  if (free >= 2) give("workers", 3);
  if (free >= 2) give("measures", 2);
  // A gap above each part and above the footer; finished phases get their lines later but need a gap as well.
  const gaps = Object.values(got).filter((lines) => lines > 0).length + (want.finished > 0 ? 1 : 0) + 1;
  const isAiry = free >= gaps + 2;
  if (isAiry) free -= gaps;
  give("active", 1, 2);
  give("finished", 2);
  give("notices", 1);
  // A heading alone says nothing: these two come with at least one line below it or not at all.
  if (got.training > 0) give("training", 1);
  if (got.measures > 0) give("measures", 1);
  if (got.workers > 0) give("workers", want.workers);
  give("notices", 1);
  if (got.measures > 0) give("measures", 1);
  give("finished", 1);
  return { ...got, isAiry };
}
