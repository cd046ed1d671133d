/** Who belongs to the pool: comes, is asked to go, is started again, or is waited for. Pure, like reducer.ts. */
import type { PoolAction, PoolEvent } from "./actions.js";
import { canWork, isAlive, type Job, newWorker, type PoolState, type Worker } from "./state.js";

/** Deaths in a row before `ready` after which a place is not filled again. */
const MAX_EARLY_DEATHS = 2;
/** After these it may be that nobody is left who works, or will. */
const DECISIVE: ReadonlySet<PoolEvent["type"]> = new Set(["died", "leaving", "begin", "unable", "closed"]);

/** A worker came by itself; null when its name is not free. */
export function join(state: PoolState, name: string): Worker | null {
  if (state.workers.has(name)) return null;
  const worker = newWorker(name, true);
  state.workers.set(name, worker);
  return worker;
}

/** From now on nothing new for this worker; a place without a process stays empty. */
export function leave(worker: Worker): void {
  worker.isLeaving = true;
  if (!isAlive(worker)) worker.phase = "retired";
}

/** What becomes of a worker's place. */
export function bury({ workers }: PoolState, worker: Worker): "replaced" | "broken" | "gone" | "left" {
  const { isGuest, isLeaving } = worker;
  if (isGuest) workers.delete(worker.name);
  const isBroken = worker.earlyDeaths >= MAX_EARLY_DEATHS;
  worker.phase = isLeaving ? "retired" : isBroken ? "broken" : "absent";
  if (isLeaving) return "left";
  return isGuest ? "gone" : isBroken ? "broken" : "replaced";
}

/** Lets those go that want to and have nothing in hand; what they did is in the orchestrator's hands then. */
export function departures(state: PoolState): PoolAction[] {
  const actions: PoolAction[] = [];
  for (const worker of state.workers.values()) {
    const { isLeaving, isDismissed, phase, inHand, held, isFlushing } = worker;
    if (!isLeaving || isDismissed || phase === "starting" || !isAlive(worker)) continue;
    if (inHand.length + held.length > 0 || isFlushing) continue;
    worker.isDismissed = true;
    actions.push({ type: "dismiss", worker: worker.name });
  }
  return actions;
}

/** Ends a job that nobody works on and nobody will. */
export function hopelessness(state: PoolState, job: Job, event: PoolEvent): PoolAction[] {
  if (!DECISIVE.has(event.type)) return [];
  const workers = [...state.workers.values()];
  if (workers.some(canWork)) return [];
  // What ails a machine that somebody added need not ail the next one; but where nobody has come to the model and nobody
  // is about to, its reason is the answer.
  if (event.type === "unable" && !job.isDescribed && !event.isAnyoneExpected) {
    return [{ type: "fail", message: `${event.worker} cannot do it` }];
  }
  const isBroken = ({ phase }: Worker): boolean => phase === "broken";
  // The one that has just died, for it is known how; else any.
  const dead = event.type === "died" ? state.workers.get(event.worker) : undefined;
  const broken = dead !== undefined && isBroken(dead) ? dead : workers.find(isBroken);
  // Where places broke, something is wrong that the user should see, whoever might still come.
  if (broken === undefined && state.isOpen) return [];
  const how = event.type === "died" && broken === dead ? event.how : "died";
  const gone = workers.length === 0 ? "every node has ended" : "all were drained";
  const why = broken === undefined ? gone : `${broken.name} ${how}, twice in a row before it was ready`;
  return [{ type: "fail", message: why }];
}

/** Fills empty places while there is work that nobody holds. */
export function launches(state: PoolState, job: Job): PoolAction[] {
  const isAnyoneHere = [...state.workers.values()].some(isAlive);
  const isNeeded = job.waitingCount > 0 || job.plan.kind === "describe" || !isAnyoneHere;
  if (job.isStopping || !isNeeded) return [];
  const actions: PoolAction[] = [];
  for (const worker of state.workers.values()) {
    if (worker.phase !== "absent") continue;
    worker.phase = "starting";
    actions.push({ type: "launch", worker: worker.name });
  }
  return actions;
}
