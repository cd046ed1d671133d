/** Evaluation by the ranks themselves: they pause, join a pool as its only workers, and go on when it lets them go. */
import type { ExperimentConfig } from "../../experiment/schema.js";
import { openPool } from "../../pool/pool.js";
import type { EvaluationOrder } from "../../training/index.js";
import type { RunContext } from "../context.js";
import { ownWorkers, SideContext } from "../side-pool.js";
import type { Onward } from "./queue.js";

type Tell = (order: EvaluationOrder) => void;

/** Measures the checkpoint of a step with the context's pool. */
export type EvaluateStep = (context: SideContext, step: number) => Promise<Onward>;

/** One evaluation at a time: no rank goes on before it is over. */
export class InRanks {
  readonly #context: RunContext;
  readonly #config: Partial<ExperimentConfig>;
  readonly #evaluate: EvaluateStep;
  #step = -1;
  /** To the ranks that stand now. */
  #tellRanks: Tell = () => {};
  #order: EvaluationOrder | null = null;
  #side: SideContext | null = null;
  #work: Promise<void> = Promise.resolve();

  /** @param config sections in which evaluation differs from the run */
  constructor(context: RunContext, config: Partial<ExperimentConfig>, evaluate: EvaluateStep) {
    this.#context = context;
    this.#config = config;
    this.#evaluate = evaluate;
  }

  /** All ranks stand after this step; those of a later start, after a death, go on with what is left of the work. */
  ask(step: number, tell: Tell): void {
    this.#tellRanks = tell;
    if (step === this.#step) {
      if (this.#order !== null) tell(this.#order);
      return;
    }
    [this.#step, this.#order] = [step, null];
    this.#work = this.#run(step);
  }

  /** Cuts off what is going on; nothing is left running. */
  async close(): Promise<void> {
    await this.#side?.close();
    await this.#work;
  }

  async #run(step: number): Promise<void> {
    const side = new SideContext(this.#context, {
      name: "ranks",
      config: this.#config,
      showsWorkers: false,
      open: async ({ config, events, signal }) =>
        openPool({
          workers: { ...ownWorkers(config.workers), count: 0 },
          python: await this.#context.python(),
          logDir: this.#context.runDir.file("logs"),
          events,
          signal,
          launch: async ({ ticketPath }) => {
            this.#tell({ ticketPath, isLast: false });
            // Whoever dies comes back with the next start of the ranks; when that is out of the question, close is called.
            return { ended: new Promise<void>(() => {}), mayBringMore: () => false, close: async () => {} };
          },
        }),
    });
    this.#side = side;
    let onward: Onward = "end";
    try {
      onward = await this.#evaluate(side, step);
    } catch {
      // A stop on request, a disk that is full: told by whoever waits for the end of training. The ranks save nothing more.
    } finally {
      await side.close();
      this.#tell({ ticketPath: null, isLast: onward === "end" });
    }
  }

  #tell(order: EvaluationOrder): void {
    this.#order = order;
    this.#tellRanks(order);
  }
}
