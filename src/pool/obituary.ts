/** What is said of workers that died: which work goes to others, their last words, and why nobody is left. */
import { QuarryError } from "../errors.js";
import type { ErrorInfo } from "../protocol/messages.js";
import type { PoolAction } from "./actions.js";
import type { Death } from "./crew.js";
import type { PoolReport } from "./report.js";
import type { Run } from "./run.js";
import type { Job } from "./state.js";

type Lost = Extract<PoolAction, { type: "lost" }>;

/** What follows from a death. */
function nextOf(fate: Lost["fate"], isNothingLost: boolean): string {
  if (fate === "broken") return "it is left out from now on";
  if (!isNothingLost) return "its work goes to others";
  return fate === "replaced" ? "it is started again" : "nothing is lost";
}

/** Remembers deaths for as long as the pool lives. */
export class Obituary {
  readonly #deaths = new Map<string, Death>();
  /** What those that came by themselves said could be done. */
  readonly #hints = new Map<string, string | null>();
  /** What a worker said before it stopped. */
  fatal: QuarryError | null = null;

  constructor(
    private readonly report: PoolReport,
    private readonly logDir: string,
  ) {}

  note(worker: string, death: Death): void {
    this.#deaths.set(worker, death);
  }

  /**
   * Keeps the reason that a worker gave itself; every later failure for want of workers shows its hint.
   *
   * @param host where to follow the hint, for a worker that came by itself
   */
  confess(worker: string, host: string | null, { code, message, hint, isRetryable }: ErrorInfo): QuarryError {
    const told = host === null ? message : `${worker} on ${host}: ${message}`;
    const way = host === null ? hint : hint && `On ${host}: ${hint}`;
    this.fatal = new QuarryError(code, told, { isRetryable, ...(way === null ? {} : { hint: way }) });
    if (host !== null) this.#hints.set(worker, way);
    return this.fatal;
  }

  tell({ worker, how, inHand, heldCount, fate }: Lost, run: Run | null): void {
    const isNothingLost = inHand.length + heldCount === 0;
    if (fate === "left" && isNothingLost) return this.report.worker(worker, "stopped", "left as asked");
    // Between two jobs, or after its own report ended one: nothing is lost, the next job starts it again.
    if (run === null || run.isOver) return this.report.worker(worker, "lost", how);
    const names = inHand.map((unit) => run.units.id(unit));
    const held = heldCount === 0 ? "" : `, ${heldCount} done since its last snapshot`;
    const then = nextOf(fate, isNothingLost);
    const lot = names.length === 0 ? "nothing in hand" : `${names.join(", ")} in hand`;
    this.report.worker(worker, "lost", `${how}; ${then}`);
    const words = fate === "broken" ? this.#lastWords(worker) : "";
    // A worker that came by itself keeps its log where it was started.
    const isOwn = this.#deaths.get(worker)?.ending != null;
    const hint = isOwn ? `See ${this.logDir}/${worker}.log.` : (this.#hints.get(worker) ?? null);
    this.#hints.delete(worker);
    this.report.warn(`${worker} ${how} with ${lot}${held}; ${then}.${words}`, hint);
  }

  /** The reason of one that could not do it, where nobody could; else that nobody is left. */
  noWorkerLeft(message: string, job: Job | null): QuarryError {
    if (job?.isDescribed === false && this.fatal?.isRetryable === false) return this.fatal;
    const words = [...this.#deaths.keys()].map((worker) => this.#lastWords(worker)).find((text) => text !== "") ?? "";
    const hint = this.fatal?.hint ?? `Read the logs in ${this.logDir}.`;
    return new QuarryError("WORKER", `No worker is left: ${message}.${words}`, { hint, isRetryable: true });
  }

  #lastWords(worker: string): string {
    const lines = this.#deaths.get(worker)?.ending?.lastLines ?? [];
    return lines.length === 0 ? "" : ` Its last lines:\n  ${lines.join("\n  ")}`;
  }
}
