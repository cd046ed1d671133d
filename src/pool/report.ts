/** What the pool tells the event stream: states of workers at once, counts and rates at most five times a second. */
import type { EventStream, WorkerState } from "../report/events.js";
import { Rate } from "./rates.js";

interface Line {
  state: WorkerState;
  device: string | null;
  detail: string | null;
  doneRows: number;
  rate: Rate;
  shown: string;
}

const INTERVAL_MS = 200;

/** Speaks for one pool. */
export class PoolReport {
  readonly #events: EventStream;
  readonly #lines = new Map<string, Line>();
  #job: { phase: string; total: number; rate: Rate; shown: number } | null = null;
  #shownMs = Number.NEGATIVE_INFINITY;

  constructor(events: EventStream) {
    this.#events = events;
  }

  /** A worker entered a state that is worth telling at once. */
  worker(name: string, state: WorkerState, detail: string | null = null, device?: string): void {
    const line = this.#line(name);
    line.state = state;
    line.detail = detail;
    if (device !== undefined) line.device = device;
    this.#tellWorker(name, line, null);
  }

  /** A unit of a worker was answered; told with the next counts. */
  answered(name: string, rows: number): void {
    this.#line(name).doneRows += rows;
  }

  begin(phase: string, total: number): void {
    this.#job = { phase, total, rate: new Rate(), shown: -1 };
    for (const line of this.#lines.values()) line.rate = new Rate();
    this.#shownMs = Number.NEGATIVE_INFINITY;
  }

  /** Tells counts and rates when it is time for them; `isLast` tells them whatever the time. */
  counts(nowMs: number, done: number, unitOf: (worker: string) => string | null, isLast = false): void {
    if (this.#job === null || (!isLast && nowMs - this.#shownMs < INTERVAL_MS)) return;
    this.#shownMs = nowMs;
    const { phase, total, rate } = this.#job;
    const ratePerSecond = rate.update(nowMs, done);
    if (done !== this.#job.shown || isLast) this.#events.emit({ type: "progress", phase, done, total, ratePerSecond });
    this.#job.shown = done;
    for (const [name, line] of this.#lines) {
      if (line.state !== "ready" && line.state !== "busy") continue;
      const unit = unitOf(name);
      line.state = unit === null ? "ready" : "busy";
      line.detail = unit === null ? null : `unit ${unit}`;
      this.#tellWorker(name, line, line.rate.update(nowMs, line.doneRows));
    }
    if (isLast) this.#job = null;
  }

  /** Texts that this worker finished. */
  doneRows(name: string): number {
    return this.#lines.get(name)?.doneRows ?? 0;
  }

  note(message: string, hint: string | null = null): void {
    this.#events.emit({ type: "notice", message, hint });
  }

  warn(message: string, hint: string | null = null): void {
    this.#events.emit({ type: "warning", message, hint });
  }

  log(source: string, level: "debug" | "info" | "warning" | "error", text: string): void {
    this.#events.emit({ type: "log", source, level, text });
  }

  #line(name: string): Line {
    const known = this.#lines.get(name);
    if (known !== undefined) return known;
    const line: Line = { state: "starting", device: null, detail: null, doneRows: 0, rate: new Rate(), shown: "" };
    this.#lines.set(name, line);
    return line;
  }

  #tellWorker(worker: string, line: Line, ratePerSecond: number | null): void {
    const { state, device, doneRows: done, detail } = line;
    const rounded = ratePerSecond === null ? null : Math.round(ratePerSecond * 10) / 10;
    const shown = JSON.stringify([state, device, done, rounded, detail]);
    if (shown === line.shown) return;
    line.shown = shown;
    this.#events.emit({ type: "worker", worker, state, device, done, ratePerSecond: rounded, detail });
  }
}
