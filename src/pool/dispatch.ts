/** Who gets which unit next: pure, from counts and the seconds that workers report. */
import { type Job, type PoolState, UNIT, type Worker } from "./state.js";

/** What the shell is to send. */
export type DispatchAction =
  | { readonly type: "sendUnit"; readonly worker: string; readonly unit: number; readonly attempt: number }
  | { readonly type: "flush"; readonly worker: string };

/** A worker holds what it can do in this time, so that a slow one does not sit on work that others could do. */
const AHEAD_SECONDS = 1;
/** Share of the expected end by which a unit may finish late; keeps equal workers from refusing on rounding. */
const TOLERANCE = 1.05;

/** Gives out what can be given out and asks for the snapshots that are due. Changes `state` accordingly. */
export function dispatch(state: PoolState): DispatchAction[] {
  const { job } = state;
  if (job === null || job.plan.kind === "describe") return [];
  const ready = [...state.workers.values()].filter((worker) => worker.phase === "ready");
  const staying = ready.filter(({ isLeaving }) => !isLeaving);
  const actions = job.isStopping ? [] : [...giveRegular(job, staying), ...giveSuspects(job, staying)];
  for (const worker of ready) {
    // Nothing more for it to do now: what it did counts only once it is in a durable snapshot.
    if (worker.held.length > 0 && worker.inHand.length === 0 && !worker.isFlushing) {
      worker.isFlushing = true;
      actions.push({ type: "flush", worker: worker.name });
    }
  }
  return actions;
}

function giveRegular(job: Job, ready: readonly Worker[]): DispatchAction[] {
  const actions: DispatchAction[] = [];
  let left = job.waitingCount - job.suspects.length;
  const pace = paceOf(ready);
  while (left > 0) {
    const best = earliest(ready.filter(hasRoom(job)), pace);
    if (best === undefined) break;
    const held = ready.reduce((sum, worker) => sum + worker.inHand.length, 0);
    const speed = ready.reduce((sum, worker) => sum + 1 / pace(worker), 0);
    // Later than all the rest would take together: a quicker worker will have room before. With nothing in hand
    // anywhere no answer will come that could give one room.
    if (held > 0 && finish(best, pace) > ((left + held) / speed) * TOLERANCE) break;
    const unit = next(job);
    actions.push(lease(job, best, unit));
    left -= 1;
  }
  return actions;
}

/** A unit that may have killed a worker goes alone, when nothing else waits, to one that would lose nothing. */
function giveSuspects(job: Job, ready: readonly Worker[]): DispatchAction[] {
  const actions: DispatchAction[] = [];
  if (job.waitingCount > job.suspects.length) return actions;
  for (const worker of ready) {
    if (worker.inHand.length + worker.held.length > 0 || worker.settling >= worker.credits) continue;
    const unit = job.suspects.shift();
    if (unit === undefined) break;
    actions.push(lease(job, worker, unit));
  }
  return actions;
}

function hasRoom(job: Job): (worker: Worker) => boolean {
  return (worker) => {
    const first = worker.inHand[0];
    if (first !== undefined && (job.strikes[first] ?? 0) > 0) return false;
    // Results that wait for the disk count too, or a slow disk would fill the memory.
    return worker.inHand.length < ahead(worker) && worker.inHand.length + worker.settling < worker.credits;
  };
}

/** Units a worker should hold: two until its pace is known, then as many as last for a second. */
function ahead(worker: Worker): number {
  if (worker.secondsPerUnit === null) return Math.min(2, worker.credits);
  return Math.max(
    Math.min(2, worker.credits),
    Math.min(worker.credits, 1 + Math.ceil(AHEAD_SECONDS / worker.secondsPerUnit)),
  );
}

/** Seconds per unit of a worker; one whose pace is unknown is taken for average. */
function paceOf(ready: readonly Worker[]): (worker: Worker) => number {
  const known = ready.flatMap((worker) => (worker.secondsPerUnit === null ? [] : [worker.secondsPerUnit]));
  const mean = known.length === 0 ? 1 : known.reduce((sum, pace) => sum + pace, 0) / known.length;
  return (worker) => worker.secondsPerUnit ?? mean;
}

/** When one more unit would be done, in seconds from now. */
function finish(worker: Worker, pace: (worker: Worker) => number): number {
  return (worker.inHand.length + 1) * pace(worker);
}

function earliest(workers: readonly Worker[], pace: (worker: Worker) => number): Worker | undefined {
  let best: Worker | undefined;
  for (const worker of workers) {
    if (best === undefined || finish(worker, pace) < finish(best, pace)) best = worker;
  }
  return best;
}

/** The next unit that is no suspect; the caller knows that there is one. */
function next(job: Job): number {
  const returned = job.returned.shift();
  if (returned !== undefined) return returned;
  while (job.status[job.fresh] !== UNIT.waiting) job.fresh += 1;
  job.fresh += 1;
  return job.fresh - 1;
}

function lease(job: Job, worker: Worker, unit: number): DispatchAction {
  const attempt = (job.attempts[unit] ?? 0) + 1;
  job.attempts[unit] = attempt;
  job.status[unit] = UNIT.leased;
  job.waitingCount -= 1;
  worker.inHand.push(unit);
  return { type: "sendUnit", worker: worker.name, unit, attempt };
}
