/** The one typed stream that the dashboard, the plain lines, the JSON lines and the run folder all read. */
import type { ErrorCode } from "../errors.js";

/** A phase of a run: one verb at work on one thing. */
export interface PhaseId {
  /** Unique within a run: the step, the data set or retriever of several, the piece of work, e.g. `evaluate-base/nfcorpus/search`. */
  readonly phase: string;
}

/** Life of a worker or rank as a user sees it. */
export type WorkerState = "starting" | "loading" | "ready" | "busy" | "lost" | "stopped";

/** Everything that can happen in a run; `time` is added when it is emitted. */
export type EventBody =
  | {
      readonly type: "runStarted";
      readonly name: string;
      readonly runDir: string;
      readonly steps: readonly string[];
      readonly isResumed: boolean;
    }
  | (PhaseId & {
      readonly type: "phaseStarted";
      /** A few words for people, e.g. "nfcorpus, search passages". */
      readonly label: string;
      /** What `done` and `total` count. */
      readonly unit: "passages" | "queries" | "pairs" | "steps" | "lines" | "files";
      readonly total: number | null;
    })
  /** Cumulative; `ratePerSecond` is over the last seconds, null while unknown. */
  | (PhaseId & {
      readonly type: "progress";
      readonly done: number;
      readonly total: number | null;
      readonly ratePerSecond: number | null;
    })
  | (PhaseId & {
      readonly type: "phaseFinished";
      readonly seconds: number;
      readonly done: number;
      /** Nothing was to be done: the cache had all of it. */
      readonly isCached?: true;
    })
  | {
      readonly type: "worker";
      readonly worker: string;
      readonly state: WorkerState;
      readonly device: string | null;
      /** Texts (worker) or steps (rank) finished. */
      readonly done: number;
      readonly ratePerSecond: number | null;
      /** e.g. "unit passages-12", "killed by SIGKILL; its work goes to others". */
      readonly detail: string | null;
    }
  | {
      readonly type: "trainStep";
      readonly step: number;
      readonly maxSteps: number;
      readonly loss: number;
      readonly learningRate: number;
      readonly gradNorm: number | null;
      readonly stepsPerSecond: number | null;
      /** Share of the step in which the device waited for data, 0 to 1. */
      readonly waitShare: number;
      /** Where negatives are refreshed: their version, and the steps since the checkpoint that mined them (null: given). */
      readonly negatives?: { readonly version: number; readonly staleness: number | null };
    }
  /** Training goes on with other negatives, once the model has seen `atStep` steps; steps are counted as checkpoints are. */
  | {
      readonly type: "negativesSwitched";
      readonly version: number;
      readonly fromStep: number;
      readonly atStep: number;
      /** Steps between the checkpoint that mined and the first one that learns from it. */
      readonly staleness: number;
      readonly negatives: number;
      /** Spent on mining; 0 where an earlier process did it. */
      readonly seconds: number;
    }
  | { readonly type: "checkpoint"; readonly step: number; readonly path: string }
  | {
      readonly type: "metrics";
      readonly phase: string;
      readonly label: string;
      readonly values: Readonly<Record<string, number>>;
      readonly queryCount: number;
    }
  /** A checkpoint was evaluated in training; `measure` is the one that makes a checkpoint the best. */
  | {
      readonly type: "evaluation";
      readonly step: number;
      readonly measure: string;
      /** Of a suite the averages, and each data set's own as `set/measure`. */
      readonly values: Readonly<Record<string, number>>;
      readonly queryCount: number;
      /** The best so far, this one included. */
      readonly best: { readonly step: number; readonly value: number };
    }
  /** Something a user should see that is no fault. */
  | { readonly type: "notice"; readonly message: string; readonly hint: string | null }
  | { readonly type: "warning"; readonly message: string; readonly hint: string | null }
  | { readonly type: "error"; readonly code: ErrorCode; readonly message: string; readonly hint: string | null }
  | {
      readonly type: "log";
      readonly source: string;
      readonly level: "debug" | "info" | "warning" | "error";
      readonly text: string;
    }
  /** A small closing table, already rounded for people. */
  | { readonly type: "summary"; readonly columns: readonly string[]; readonly rows: readonly (readonly string[])[] }
  | {
      readonly type: "runFinished";
      readonly status: "done" | "failed" | "stopped";
      readonly seconds: number;
      readonly runDir: string;
    };

/** What can happen, of one kind. */
export type EventBodyOf<Type extends EventBody["type"]> = Extract<EventBody, { readonly type: Type }>;

/** An event with its moment: milliseconds since the epoch, by {@link eventClock}. */
export type QuarryEvent = EventBody & { readonly time: number };

/**
 * The clock of events: the time of day at which this process began, and what has passed since. Durations, rates and
 * the time left come from it, so it goes on evenly when somebody sets the machine's clock.
 */
export function eventClock(): number {
  return Math.round(performance.timeOrigin + performance.now());
}

/**
 * Whoever wants to hear events. Nobody waits for it, and a run does not end because of it: that it threw, or that its
 * promise was rejected, becomes one warning to all listeners, and it hears the next events all the same.
 */
export type EventListener = (event: QuarryEvent) => void;

/**
 * Hands each event to all listeners, in order. Several runs may tell one stream what happens: it only hears, no run reads
 * there what it has to do.
 *
 * @example
 * const events = new EventStream();
 * events.subscribe((event) => console.log(event.type));
 * events.emit({ type: "warning", message: "two duplicate texts", hint: null });
 */
export class EventStream {
  readonly #listeners = new Set<EventListener>();
  readonly #failed = new WeakSet<EventListener>();
  readonly #onward: EventStream | undefined;

  /** @param onward a stream whose listeners hear the events of this one as well */
  constructor(onward?: EventStream) {
    this.#onward = onward;
  }

  /** Registers a listener; the returned function takes it off again. */
  subscribe(listener: EventListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(body: EventBody): void {
    const event = { ...body, time: eventClock() } as QuarryEvent;
    for (const listener of this.#all()) {
      try {
        // Its type allows an async function, whose rejection would end the process.
        const given = listener(event) as unknown;
        if (given instanceof Promise) given.catch((thrown: unknown) => this.#tell(listener, event, thrown));
      } catch (thrown) {
        this.#tell(listener, event, thrown);
      }
    }
  }

  *#all(): Generator<EventListener> {
    // First whoever only hears: a listener of the run may emit at once what follows from the event.
    if (this.#onward !== undefined) yield* this.#onward.#all();
    yield* this.#listeners;
  }

  /** Once for each listener: it may throw at the warning, too. */
  #tell(listener: EventListener, { type }: QuarryEvent, thrown: unknown): void {
    if (this.#failed.has(listener)) return;
    this.#failed.add(listener);
    const message = `a listener of events threw at ${type}: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
    this.emit({ type: "warning", message, hint: "The run goes on; mend the function that subscribe was given." });
  }
}
