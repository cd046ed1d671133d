/** Complete checkpoints wait here for workers beside the ranks; training never waits for them. */
import { toQuarryError } from "../../errors.js";

/** What training does once a checkpoint has been measured. */
export type Onward = "goOn" | "end";

/** What is done with checkpoints, by their steps. */
export interface QueueListener {
  /** Measures one and makes that durable; nothing is measured any more once training is to end. */
  evaluate(step: number): Promise<Onward>;
  /** Takes one that had to make room. */
  skip(step: number): Promise<void>;
}

/** Works on one checkpoint at a time, in the order in which they came. */
export class EvaluationQueue {
  readonly #listener: QueueListener;
  readonly #maxWaiting: number;
  readonly #waiting: number[] = [];
  #inHand: number | null = null;
  #isOver = false;
  #work: Promise<void> = Promise.resolve();
  #isWorking = false;
  #failure: unknown = null;

  constructor(listener: QueueListener, maxWaiting: number) {
    this.#listener = listener;
    this.#maxWaiting = maxWaiting;
  }

  /** Steps whose checkpoints are needed: in hand or waiting. */
  get steps(): number[] {
    return [...(this.#inHand === null ? [] : [this.#inHand]), ...this.#waiting];
  }

  /** Takes a checkpoint; one that is known already is no news. */
  offer(step: number): void {
    if (this.#isOver || this.steps.includes(step)) return;
    this.#waiting.push(step);
    if (!this.#isWorking) this.#work = this.#run();
  }

  /** Takes nothing more and forgets what waits; resolves when the one in hand has ended. */
  async close(): Promise<void> {
    this.#isOver = true;
    this.#waiting.length = 0;
    await this.#work;
  }

  /** Resolves when nothing waits; @throws what made it stop. */
  async drained(): Promise<void> {
    await this.#work;
    if (this.#failure !== null) throw toQuarryError(this.#failure);
  }

  async #run(): Promise<void> {
    this.#isWorking = true;
    try {
      while (!this.#isOver) {
        while (this.#waiting.length > this.#maxWaiting) await this.#listener.skip(this.#waiting.shift() as number);
        this.#inHand = this.#waiting.shift() ?? null;
        if (this.#inHand === null) return;
        if ((await this.#listener.evaluate(this.#inHand)) === "end") this.#isOver = true;
        this.#inHand = null;
      }
    } catch (thrown) {
      // A disk that is full, a stop on request: told when somebody waits for the end.
      this.#failure = thrown;
      this.#isOver = true;
    } finally {
      this.#inHand = null;
      this.#isWorking = false;
    }
  }
}
