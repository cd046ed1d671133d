/** What each event does to the pool's state and what the shell must do about it; no clock, no socket, no process. */
import type { ErrorCode } from "../errors.js";
import type { PoolAction, PoolEvent } from "./actions.js";
import { dispatch } from "./dispatch.js";
import { bury, departures, hopelessness, join, launches, leave } from "./membership.js";
import { emptyHands, isAlive, type Job, type JobPlan, newJob, type PoolState, UNIT, type Worker } from "./state.js";

/** How much of a new answer's time enters a worker's pace. */
const SMOOTHING = 0.3;
/**
 * Applies one event. `state` is changed in place (a job may have a million units); the same state and event always give
 * the same result.
 *
 * @example
 * for (const action of advance(state, { type: "died", worker: "worker-0", how: "killed by SIGKILL" })) perform(action);
 */
export function advance(state: PoolState, event: PoolEvent): PoolAction[] {
  const actions = apply(state, event);
  if (state.job !== null) actions.push(...dispatch(state));
  actions.push(...departures(state));
  if (state.job === null) return actions;
  actions.push(...launches(state, state.job), ...hopelessness(state, state.job, event));
  if (isFinished(state, state.job)) actions.push({ type: "finished" });
  return actions;
}

function apply(state: PoolState, event: PoolEvent): PoolAction[] {
  if (event.type === "begin") return begin(state, event.plan);
  if (event.type === "end") {
    state.job = null;
    return [];
  }
  if (event.type === "stop") {
    if (state.job !== null) state.job.isStopping = true;
    return [];
  }
  if (event.type === "closed") {
    state.isOpen = false;
    return [];
  }
  const worker = state.workers.get(event.worker);
  // Whoever made it may be gone by now.
  if (event.type === "durable") return durable(state.job, worker, event.session, event.units);
  if (event.type === "joined") return joined(state, event.worker);
  if (worker === undefined) return [];
  if (event.type === "leaving") {
    leave(worker);
    return [];
  }
  if (event.type === "unable") {
    worker.isUnable = true;
    return [];
  }
  if (event.type === "hello") return hello(state, worker);
  if (event.type === "ready") return ready(state.job, worker, event.credits);
  if (event.type === "died") return died(state.job, state, worker, event.how);
  // Anything before the answer to the last configuration belongs to an earlier job.
  if (state.job === null || worker.phase !== "ready") return [];
  if (event.type === "snapshot") return snapshot(state.job, worker, event.units);
  // Late: given to another one meanwhile, or answered already.
  if (!worker.inHand.includes(event.unit) || state.job.attempts[event.unit] !== event.attempt) return [];
  worker.inHand.splice(worker.inHand.indexOf(event.unit), 1);
  if (event.type === "failed") return failed(state.job, event);
  return answered(state.job, worker, event.unit, event.seconds);
}

function begin(state: PoolState, plan: JobPlan): PoolAction[] {
  state.job = newJob(plan);
  const actions: PoolAction[] = [];
  for (const worker of state.workers.values()) {
    emptyHands(worker);
    worker.secondsPerUnit = null;
    worker.earlyDeaths = 0;
    if (worker.phase === "broken") worker.phase = "absent";
    if (worker.phase === "connected" || worker.phase === "loading" || worker.phase === "ready") {
      if (!worker.isLeaving) actions.push(configure(state, worker));
    } else if (worker.phase === "absent") {
      worker.phase = "starting";
      actions.push({ type: "launch", worker: worker.name });
    }
  }
  return actions;
}

function configure(state: PoolState, worker: Worker): PoolAction {
  worker.phase = "loading";
  worker.pendingReady += 1;
  state.sessionCount += 1;
  worker.session = `${worker.name}.${state.sessionCount}.${state.id}`;
  return { type: "configure", worker: worker.name };
}

function hello(state: PoolState, worker: Worker): PoolAction[] {
  if (worker.phase !== "starting") return [];
  worker.phase = "connected";
  return state.job === null || worker.isLeaving ? [] : [configure(state, worker)];
}

function joined(state: PoolState, name: string): PoolAction[] {
  const worker = join(state, name);
  return worker === null || state.job === null ? [] : [configure(state, worker)];
}

function ready(job: Job | null, worker: Worker, credits: number): PoolAction[] {
  if (worker.pendingReady === 0) return [];
  worker.pendingReady -= 1;
  if (worker.pendingReady > 0) return [];
  worker.phase = "ready";
  worker.credits = Math.max(1, credits);
  worker.earlyDeaths = 0;
  if (job !== null) job.isDescribed = true;
  return [];
}

function answered(job: Job, worker: Worker, unit: number, seconds: number): PoolAction[] {
  const sample = Math.min(10_000, Math.max(0.000_1, seconds));
  const { secondsPerUnit } = worker;
  worker.secondsPerUnit = secondsPerUnit === null ? sample : secondsPerUnit * (1 - SMOOTHING) + sample * SMOOTHING;
  job.answeredRows += job.plan.rowCount(unit);
  if (job.plan.kind === "search") {
    job.status[unit] = UNIT.held;
    worker.held.push(unit);
    return [];
  }
  job.status[unit] = UNIT.settling;
  worker.settling += 1;
  return [{ type: "persistVectors", worker: worker.name, session: worker.session, unit }];
}

function snapshot(
  job: Job,
  worker: Worker,
  units: readonly { readonly unit: number; readonly attempt: number }[],
): PoolAction[] {
  worker.isFlushing = false;
  const fresh: number[] = [];
  const known = new Set([...worker.held, ...worker.inHand]);
  for (const { unit, attempt } of units) {
    if (!known.delete(unit) || job.attempts[unit] !== attempt) {
      // Its running top-k may hold something twice; better to do its share again.
      return [{ type: "kill", worker: worker.name, reason: "handed in a snapshot of a unit that it does not hold" }];
    }
    fresh.push(unit);
  }
  if (fresh.length === 0) return [];
  const taken = new Set(fresh);
  for (const unit of fresh) {
    if (job.status[unit] === UNIT.leased) job.answeredRows += job.plan.rowCount(unit);
    job.status[unit] = UNIT.settling;
  }
  worker.held = worker.held.filter((unit) => !taken.has(unit));
  worker.inHand = worker.inHand.filter((unit) => !taken.has(unit));
  worker.covered.push(...fresh);
  const covered = [...worker.covered];
  return [{ type: "persistSnapshot", worker: worker.name, session: worker.session, covered, units: fresh }];
}

function durable(job: Job | null, worker: Worker | undefined, session: string, units: readonly number[]): PoolAction[] {
  if (job === null) return [];
  for (const unit of units) {
    if (job.status[unit] !== UNIT.settling) continue;
    job.status[unit] = UNIT.done;
    job.openCount -= 1;
    job.doneRows += job.plan.rowCount(unit);
  }
  if (job.plan.kind === "encode" && worker?.session === session) worker.settling -= units.length;
  return [];
}

function failed(job: Job, { unit, code, message, isRetryable }: Extract<PoolEvent, { type: "failed" }>): PoolAction[] {
  return isRetryable ? strike(job, unit, code, message) : giveUp(job, unit, code, message);
}

/** Counts against a unit; the last one allowed gives it up. */
function strike(job: Job, unit: number, code: ErrorCode, message: string): PoolAction[] {
  const strikes = (job.strikes[unit] ?? 0) + 1;
  job.strikes[unit] = strikes;
  if (strikes >= job.plan.maxAttempts) return giveUp(job, unit, code, `${message} (attempt ${strikes} of ${strikes})`);
  job.status[unit] = UNIT.waiting;
  job.waitingCount += 1;
  job.suspects.push(unit);
  return [];
}

function giveUp(job: Job, unit: number, code: ErrorCode, message: string): PoolAction[] {
  job.status[unit] = UNIT.failed;
  job.openCount -= 1;
  return [{ type: "giveUp", unit, code, message }];
}

function died(job: Job | null, state: PoolState, worker: Worker, how: string): PoolAction[] {
  if (!isAlive(worker)) return [];
  const wasReady = worker.phase === "ready";
  const { inHand, held, isLeaving } = worker;
  emptyHands(worker);
  worker.pendingReady = 0;
  worker.secondsPerUnit = null;
  worker.earlyDeaths = wasReady ? 0 : worker.earlyDeaths + 1;
  const fate = bury(state, worker);
  const actions: PoolAction[] = [{ type: "lost", worker: worker.name, how, inHand, heldCount: held.length, fate }];
  if (job === null) return actions;
  for (const unit of held) job.answeredRows -= job.plan.rowCount(unit);
  // It worked on the first one: only that one may be to blame, and not for the death of one that had to go.
  const suspect = isLeaving ? undefined : inHand[0];
  const innocent = suspect === undefined ? inHand : inHand.slice(1);
  for (const unit of [...held, ...innocent]) {
    job.status[unit] = UNIT.waiting;
    job.waitingCount += 1;
    // One with an earlier strike stays apart from the others.
    if ((job.strikes[unit] ?? 0) > 0) job.suspects.push(unit);
    else job.returned.push(unit);
  }
  if (suspect !== undefined)
    actions.push(...strike(job, suspect, "WORKER", `${worker.name} was at work on it and ${how}`));
  return actions;
}

function isFinished(state: PoolState, job: Job): boolean {
  const workers = [...state.workers.values()];
  if (job.isStopping) {
    const isIdle = ({ inHand, held }: Worker): boolean => inHand.length + held.length === 0;
    return workers.every(isIdle) && !job.status.includes(UNIT.settling);
  }
  if (job.openCount > 0) return false;
  // Somebody must have said what the model is; to describe it, everybody who was started for it. A guest that came
  // meanwhile, with files to fetch, holds up nobody.
  if (!job.isDescribed || job.plan.kind !== "describe") return job.isDescribed;
  return workers.every((worker) => worker.isGuest || worker.isLeaving || worker.phase === "ready" || !isAlive(worker));
}
