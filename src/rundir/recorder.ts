/** Keeps a run's events in events.jsonl. The record is for people and reports; nothing resumes from it. */
import { writeSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { onExit } from "../exit.js";
import type { EventStream, QuarryEvent } from "../report/events.js";
import { openLines } from "./jsonl.js";

/** Lines wait this long at most; an error and the end of a run do not wait. */
const flushMs = 500;
const flushBytes = 64 * 1024;

/** The events.jsonl of one run folder. */
export class EventRecord {
  #waiting: string[] = [];
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | null = null;
  /** Broken or closed: nothing more is written. */
  #isBroken = false;
  #unsubscribe = (): void => {};
  readonly #leaveExit = onExit(() => this.flush());

  private constructor(
    private readonly file: FileHandle,
    private readonly path: string,
  ) {}

  static async open(path: string): Promise<EventRecord> {
    return new EventRecord((await openLines(path)).file, path);
  }

  /** Writes each event of the run's stream from now on. */
  record(events: EventStream): void {
    this.#unsubscribe = events.subscribe((event) => this.#add(event, events));
  }

  #add(event: QuarryEvent, events: EventStream): void {
    if (this.#isBroken) return;
    const line = `${JSON.stringify(event)}\n`;
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    const isUrgent = event.type === "error" || event.type === "runFinished";
    if (isUrgent || this.#waitingBytes >= flushBytes) this.flush(events);
    else this.#timer ??= setTimeout(() => this.flush(events), flushMs).unref();
  }

  /** Synchronous, so that the last events of a process that exits are kept as well. */
  flush(events?: EventStream): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#isBroken || this.#waiting.length === 0) return;
    const bytes = Buffer.from(this.#waiting.join(""));
    this.#waiting = [];
    this.#waitingBytes = 0;
    try {
      for (let offset = 0; offset < bytes.length; ) offset += writeSync(this.file.fd, bytes, offset);
    } catch (thrown) {
      // A full disk stops the run where results are written; the record alone must not.
      this.#isBroken = true;
      const message = `${this.path} is incomplete: ${(thrown as Error).message}`;
      events?.emit({ type: "warning", message, hint: null });
    }
  }

  async close(): Promise<void> {
    this.#leaveExit();
    this.#unsubscribe();
    this.flush();
    this.#isBroken = true;
    await this.file.close();
  }
}
