/** What the events of a run folder tell, over all of its starts. */
import type { QuarryEvent } from "../../report/events.js";
import type { ReportedNote, ReportedPhase, ReportedRun, ReportedTraining } from "../../report/html/types.js";
import { recordsOf } from "../../rundir/jsonl.js";

/** Different notes beyond so many are no longer read by anybody. */
const MOST_NOTES = 200;

/** What events.jsonl told. */
export interface Told
  extends Pick<ReportedRun, "startedAt" | "seconds" | "starts" | "phases" | "notes">,
    Pick<ReportedTraining, "maxSteps" | "evaluations" | "best" | "switches"> {
  /** How the last start ended; null where it did not, or where there was none. */
  readonly ended: "done" | "failed" | "stopped" | null;
}

/** Reads events.jsonl. */
export async function readEvents(path: string): Promise<Told> {
  const gathered = new Gathered();
  for await (const event of recordsOf(path)) gathered.take(event as QuarryEvent);
  return gathered.told();
}

class Gathered {
  #startedAt: number | null = null;
  #lifeAt = 0;
  #lastAt = 0;
  #earlierSeconds = 0;
  #starts = 0;
  #ended: Told["ended"] = null;
  #maxSteps: number | null = null;
  readonly #evaluations = new Map<number, Readonly<Record<string, number>>>();
  #best: Told["best"] = null;
  readonly #switches = new Map<number, number>();
  readonly #phases = new Map<string, ReportedPhase>();
  readonly #notes = new Map<string, ReportedNote>();

  take(event: QuarryEvent): void {
    if (event.type === "runStarted") this.#begin(event.time);
    this.#lastAt = event.time;
    switch (event.type) {
      case "phaseStarted":
        // A phase that is begun again, after a death or in another step, counts from there.
        this.#phases.set(event.phase, {
          label: event.label,
          unit: event.unit,
          done: 0,
          seconds: null,
          isCached: false,
        });
        return;
      case "progress":
        return this.#phase(event.phase, { done: event.done });
      case "phaseFinished":
        return this.#phase(event.phase, {
          done: event.done,
          seconds: event.seconds,
          isCached: event.isCached === true,
        });
      case "trainStep":
        this.#maxSteps = event.maxSteps;
        return;
      case "evaluation": {
        this.#evaluations.set(event.step, event.values);
        this.#best = { ...event.best, measure: event.measure };
        return;
      }
      case "negativesSwitched":
        this.#switches.set(event.version, event.atStep);
        return;
      case "notice":
        return this.#note("note", event.message, event.hint);
      case "warning":
      case "error":
        return this.#note(event.type, event.message, event.hint);
      case "worker":
        if (event.state === "lost") this.#note("lost", `${event.worker}: ${event.detail ?? "lost"}`, null);
        return;
      case "runFinished":
        this.#ended = event.status;
        return;
      default:
      // Of no use here; results have files of their own.
    }
  }

  told(): Told {
    return {
      startedAt: this.#startedAt,
      seconds: this.#earlierSeconds + (this.#lastAt - this.#lifeAt) / 1000,
      starts: this.#starts,
      ended: this.#ended,
      maxSteps: this.#maxSteps,
      evaluations: [...this.#evaluations]
        .sort(([one], [other]) => one - other)
        .map(([step, values]) => ({ step, values })),
      best: this.#best,
      switches: [...this.#switches.values()].sort((one, other) => one - other),
      phases: [...this.#phases.values()],
      notes: [...this.#notes.values()],
    };
  }

  #begin(time: number): void {
    this.#startedAt ??= time;
    if (this.#starts > 0) this.#earlierSeconds += (this.#lastAt - this.#lifeAt) / 1000;
    this.#lifeAt = time;
    this.#starts += 1;
    this.#ended = null;
  }

  #phase(id: string, change: Partial<ReportedPhase>): void {
    const phase = this.#phases.get(id);
    if (phase !== undefined) this.#phases.set(id, { ...phase, ...change });
  }

  #note(level: ReportedNote["level"], text: string, hint: string | null): void {
    const key = `${level} ${text}`;
    const count = (this.#notes.get(key)?.count ?? 0) + 1;
    if (count === 1 && this.#notes.size >= MOST_NOTES) return;
    this.#notes.set(key, { level, text, hint, count });
  }
}
