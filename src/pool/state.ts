/** What the pool knows: workers, units, and who holds what. Plain data; reducer.ts changes it, dispatch.ts reads it. */

/** Where a unit stands. */
export const UNIT = {
  /** Nobody has it. */
  waiting: 0,
  /** Sent to a worker, not answered. */
  leased: 1,
  /** Search only: in a worker's running top-k, in no durable snapshot. */
  held: 2,
  /** Its result is here and being made durable. */
  settling: 3,
  done: 4,
  /** Given up. */
  failed: 5,
} as const;

/**
 * `absent`: no process. `connected`: said hello, has no task. `broken`: died twice in a row before it was ready.
 * `retired`: drained, and its place stays empty.
 */
export type WorkerPhase = "absent" | "starting" | "connected" | "loading" | "ready" | "broken" | "retired";

/** One place for a worker process, where lives come and go; or one worker that came by itself, for its one life. */
export interface Worker {
  readonly name: string;
  /** It came by itself: nobody can start it again. */
  readonly isGuest: boolean;
  phase: WorkerPhase;
  /** It will go: nothing new for it. */
  isLeaving: boolean;
  /** It was told to go, with nothing in its hands. */
  isDismissed: boolean;
  /** It said that it cannot do the job; its end is near. */
  isUnable: boolean;
  /** Names what the worker was configured for last, unlike any other session of any pool; empty without one. */
  session: string;
  /** Deaths since it was last ready. */
  earlyDeaths: number;
  /** Configurations it has not answered: messages before the last `ready` belong to an earlier job. */
  pendingReady: number;
  /** Units it may hold ahead, at most. */
  credits: number;
  /** Smoothed; null until its first answer. */
  secondsPerUnit: number | null;
  /** Leased units in the order sent: it works on the first. */
  inHand: number[];
  /** Search: done and in no snapshot yet. */
  held: number[];
  /** Search: in a snapshot of this session, durable or being made so. */
  covered: number[];
  /** Encode: results being made durable. */
  settling: number;
  /** A flush was sent and no snapshot has come since. */
  isFlushing: boolean;
}

/** What a job asks for, as far as the pool's logic is concerned. */
export interface JobPlan {
  readonly kind: "encode" | "search" | "describe";
  readonly unitCount: number;
  readonly rowCount: (unit: number) => number;
  readonly isDone: (unit: number) => boolean;
  /** Workers a unit may kill before it is given up. */
  readonly maxAttempts: number;
}

/** The job at hand. */
export interface Job {
  readonly plan: JobPlan;
  readonly status: Uint8Array;
  /** Leases given so far for each unit; the number of the current one travels as `attempt`. */
  readonly attempts: Uint16Array;
  /** Deaths and retryable failures that count against a unit. */
  readonly strikes: Uint8Array;
  /** Units below this were handed out or done before. */
  fresh: number;
  /** Came back from dead workers through no fault of their own. */
  returned: number[];
  /** Have a strike: given out last, alone, to a worker with nothing to lose. */
  suspects: number[];
  /** Units that nobody holds, suspects included. */
  waitingCount: number;
  /** Units neither done nor given up. */
  openCount: number;
  /** Rows of units that were answered (held, settling or done) in this call. */
  answeredRows: number;
  /** Rows of units made durable in this call. */
  doneRows: number;
  /** Some worker has said what the model is. */
  isDescribed: boolean;
  isStopping: boolean;
}

export interface PoolState {
  /** Makes session names differ between pools. */
  readonly id: string;
  readonly workers: Map<string, Worker>;
  /** Workers may still join: a job without any waits for them. False from then on when every launcher has ended. */
  isOpen: boolean;
  /** Sessions of all workers so far, for the next name: a guest that comes again must not get an earlier one's. */
  sessionCount: number;
  job: Job | null;
}

/** A pool with no process and no job; `names` are places that it fills itself. */
export function emptyPool(id: string, names: readonly string[], isOpen = false): PoolState {
  const workers = new Map(names.map((name): [string, Worker] => [name, newWorker(name, false)]));
  return { id, workers, isOpen, sessionCount: 0, job: null };
}

export function newWorker(name: string, isGuest: boolean): Worker {
  return {
    name,
    isGuest,
    phase: isGuest ? "connected" : "absent",
    isLeaving: false,
    isDismissed: false,
    isUnable: false,
    session: "",
    earlyDeaths: 0,
    pendingReady: 0,
    credits: 1,
    secondsPerUnit: null,
    inHand: [],
    held: [],
    covered: [],
    settling: 0,
    isFlushing: false,
  };
}

/** Whether a process is there, or on its way. */
export function isAlive({ phase }: Worker): boolean {
  return phase !== "absent" && phase !== "broken" && phase !== "retired";
}

/** Whether it works, or can be started to. */
export function canWork(worker: Worker): boolean {
  return !worker.isUnable && (isAlive(worker) || worker.phase === "absent");
}

/** A job with every unit waiting that is not done already. */
export function newJob(plan: JobPlan): Job {
  const status = new Uint8Array(plan.unitCount);
  let openCount = 0;
  for (let unit = 0; unit < plan.unitCount; unit += 1) {
    if (plan.isDone(unit)) status[unit] = UNIT.done;
    else openCount += 1;
  }
  return {
    plan,
    status,
    attempts: new Uint16Array(plan.unitCount),
    strikes: new Uint8Array(plan.unitCount),
    fresh: 0,
    returned: [],
    suspects: [],
    waitingCount: openCount,
    openCount,
    answeredRows: 0,
    doneRows: 0,
    isDescribed: false,
    isStopping: false,
  };
}

/** Forgets what a worker holds: it is gone, or begins something else. */
export function emptyHands(worker: Worker): void {
  worker.session = "";
  worker.inHand = [];
  worker.held = [];
  worker.covered = [];
  worker.settling = 0;
  worker.isFlushing = false;
}
