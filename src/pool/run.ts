/** One job at work: its promise, its contract and its bookkeeping, whatever kind of job it is. */
import { QuarryError, toQuarryError } from "../errors.js";
import type { CrossEncoderContract, ModelContract, Task } from "../protocol/messages.js";
import { protocolError } from "../protocol/scan.js";
import type { Payload } from "./crew.js";
import type { Answer, Assignment, Contract } from "./jobs/assignment.js";
import type { JobPlan } from "./state.js";
import type { FailedUnit, JobOutcome, UnitList } from "./types.js";

/** A job between its beginning and its end. */
export class Run {
  readonly outcome: Promise<JobOutcome<Contract | null>>;
  readonly failed: FailedUnit[] = [];
  /** Rows that a worker named as the cause of a unit's failure. */
  readonly broken = new Map<number, Int32Array>();
  contract: Contract | null = null;
  isOver = false;
  isStopping = false;
  /** Texts of all units, and of those that need no work. */
  readonly totalRows: number;
  readonly rowsBefore: number;
  #resolve!: (outcome: JobOutcome<Contract | null>) => void;
  #reject!: (error: QuarryError) => void;
  readonly #persists = new Set<Promise<void>>();
  #firstMs: number | null = null;
  #lastMs = 0;

  constructor(
    readonly assignment: Assignment,
    private readonly batchSize: number,
  ) {
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever awaits the outcome hears of it; a run that is cut off by close() may have nobody.
    this.outcome.catch(() => {});
    const { units } = this;
    const { isDone } = this.plan(1);
    let [totalRows, rowsBefore] = [0, 0];
    for (let unit = 0; unit < units.count; unit += 1) {
      totalRows += units.rowCount(unit);
      if (isDone(unit)) rowsBefore += units.rowCount(unit);
    }
    this.totalRows = totalRows;
    this.rowsBefore = rowsBefore;
  }

  get units(): UnitList {
    return this.assignment.units;
  }

  plan(maxAttempts: number): JobPlan {
    const { assignment, units } = this;
    return {
      kind: assignment.kind,
      unitCount: units.count,
      rowCount: (unit) => units.rowCount(unit),
      isDone: assignment.isDone ?? (() => false),
      maxAttempts,
    };
  }

  task(): Task {
    return this.assignment.task(this.batchSize);
  }

  /**
   * Takes what a worker says its model is; all must say the same, or results would depend on who made them.
   *
   * @throws QuarryError PROTOCOL without a contract, CONFIG when two workers differ.
   */
  accept(
    worker: string,
    ready: { readonly model: ModelContract | null; readonly crossEncoder: CrossEncoderContract | null },
  ): void {
    const contract = this.assignment.contractOf(ready);
    if (contract === null) {
      if (this.#isModelless) return;
      throw protocolError("a worker is ready without a model");
    }
    this.contract ??= contract;
    if (this.contract.fingerprint === contract.fingerprint) return;
    throw new QuarryError(
      "CONFIG",
      `${worker} has another model than the others: ${differences(this.contract, contract)}.`,
      { hint: "Set model.dtype, so that every device works with the same numbers." },
    );
  }

  /** Notes the moment a unit was sent or answered, for the seconds of the outcome. */
  mark(nowMs: number): void {
    this.#firstMs ??= nowMs;
    this.#lastMs = nowMs;
  }

  /**
   * Reads an answer; null when the job has no use for it.
   *
   * @throws QuarryError PROTOCOL when it has another shape than the work.
   */
  read(payload: Payload, unit: number): Answer | null {
    return this.assignment.read(payload, unit, this.contract);
  }

  /** Makes an answer durable: a unit's, or a session's snapshot of these units after its earlier one. */
  persist(session: string, units: readonly number[], answer: Answer | null): Promise<void> {
    if (answer === null) return Promise.reject(new QuarryError("INTERNAL", "An answer fits no job."));
    const saved = answer.save(session, units).catch((thrown: unknown) => {
      throw toQuarryError(thrown);
    });
    this.#persists.add(saved);
    const forget = (): void => void this.#persists.delete(saved);
    saved.then(forget, forget);
    return saved;
  }

  /** Ends the run once nothing of it is being written any more; further calls do nothing. */
  async end(rowCount: number, error: QuarryError | null): Promise<void> {
    if (this.isOver) return;
    this.isOver = true;
    await Promise.allSettled(this.#persists);
    const seconds = this.#firstMs === null ? 0 : (this.#lastMs - this.#firstMs) / 1_000;
    if (error !== null) this.#reject(error);
    else if (this.contract === null && !this.#isModelless)
      this.#reject(new QuarryError("INTERNAL", "A job ended without a model."));
    else this.#resolve({ contract: this.contract, failed: this.failed, rowCount, seconds });
  }

  /** A search over stored vectors needs no model. */
  get #isModelless(): boolean {
    return this.assignment.checkpoint === null;
  }
}

function differences(left: Contract, right: Contract): string {
  const keys = Object.keys(left) as (keyof Contract)[];
  const told = keys
    .filter((key) => left[key] !== right[key])
    .map((key) => `${key} ${JSON.stringify(left[key])} and ${JSON.stringify(right[key])}`);
  return told.join(", ").slice(0, 1_000);
}
