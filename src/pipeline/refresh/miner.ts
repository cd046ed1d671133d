/** Mines a version of the negatives with a checkpoint, on workers of its own, while the ranks go on. */
import { createHash } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { TrainingSet } from "../../data/types.js";
import { QuarryError } from "../../errors.js";
import { type RefreshTarget, refreshTargets } from "../../experiment/refresh.js";
import type { SearchDataConfig, TrainConfig, TrainingDataConfig } from "../../experiment/schema.js";
import type { RunContext } from "../context.js";
import { mineInto } from "../mine.js";
import { runSource } from "../mining/runs.js";
import { besideRanks, SideContext } from "../side-pool.js";
import { type Mined, type MinedFile, readMined, seal } from "./mined.js";

/** Where negatives and the weights that mine them lie, below the run folder. */
export const FOLDER = "train/negatives";

/** What mines the negatives of a training. */
export class Miner {
  readonly #targets: readonly RefreshTarget[];
  readonly #key: string;
  #side: SideContext | null = null;
  #isClosed = false;

  /** @param given the training set with the negatives that the experiment names */
  constructor(
    private readonly context: RunContext,
    private readonly train: TrainConfig & { readonly refresh: NonNullable<TrainConfig["refresh"]> },
    given: TrainingSet,
    private readonly ranks: number,
  ) {
    this.#targets = refreshTargets(train);
    const { mine, parts } = train.refresh;
    this.#key = createHash("sha256")
      .update(JSON.stringify([given.fingerprint, mine, parts ?? null, context.config.seed]))
      .digest("hex");
  }

  /** A version that is durable, or null. */
  find(version: number): Promise<Mined | null> {
    return readMined(this.#folder(version), version, this.#key);
  }

  /**
   * Mines a version. What a killed process made durable of it, parts of its searches, is not done again.
   *
   * @param weights folder of the checkpoint's weights
   * @throws QuarryError as mining does; INTERRUPTED once closed.
   */
  async mine(version: number, fromStep: number, weights: string): Promise<Mined> {
    const { refresh } = this.train;
    const begin = performance.now();
    const open = await besideRanks(this.context, refresh.workers, this.ranks, "train.refresh.workers");
    if (this.#isClosed) throw new QuarryError("INTERRUPTED", "Mining was stopped with the training.");
    const { embeddings } = this.context.config;
    // The vectors of a checkpoint in passing are of no use later, and would fill the cache.
    const side = new SideContext(this.context, {
      name: "mine",
      config: { embeddings: { ...embeddings, store: false } },
      open,
    });
    this.#side = side;
    try {
      const checkpoint = `checkpoint-${fromStep}`;
      const files: MinedFile[] = [];
      for (const { part, mine } of this.#targets) {
        const name = `part-${part}`;
        // Every version draws anew where mining draws at random.
        const step = `${FOLDER}/${version}/${name}`;
        const found = await mineInto(side, step, { label: checkpoint, checkpoint: weights }, mine, version);
        const kept = found.files.map(([file, lines]) => ({
          part,
          path: file.slice(`${FOLDER}/${version}/`.length),
          lines,
        }));
        files.push(kept[0] as MinedFile);
        await this.#clear(join(this.#folder(version), name), [
          "report.json",
          ...kept.map(({ path }) => path.slice(name.length + 1)),
        ]);
      }
      const seconds = (performance.now() - begin) / 1000;
      return await seal(this.#folder(version), { version, fromStep, checkpoint, key: this.#key, seconds }, files);
    } finally {
      this.#side = null;
      await side.close();
    }
  }

  /** The training data with the negatives of a version in the place of those that the experiment names. */
  dataOf(mined: Mined): TrainingDataConfig {
    const { data } = this.train;
    const negativesOf = (part: number): SearchDataConfig | null => {
      const file = mined.files.find((found) => found.part === part);
      const target = this.#targets.find((found) => found.part === part);
      if (file === undefined || target === undefined || target.mine.data.kind !== "source") return null;
      return runSource(target.mine.data, join(this.#folder(mined.version), file.path));
    };
    const replaced = <View extends TrainingDataConfig>(view: View, part: number): View => {
      const negatives = negativesOf(part);
      return negatives === null ? view : { ...view, negatives };
    };
    if (data.kind !== "mix") return replaced(data, 0);
    return { ...data, parts: data.parts.map((part, index) => ({ ...part, data: replaced(part.data, index) })) };
  }

  /** Cuts off what is going on; what is durable of it stays. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#side?.close();
  }

  /** Removes what only an interrupted search needs. */
  async #clear(folder: string, kept: readonly string[]): Promise<void> {
    for (const name of await readdir(folder)) {
      if (!kept.includes(name)) await rm(join(folder, name), { recursive: true, force: true });
    }
  }

  #folder(version: number): string {
    return this.context.runDir.file(FOLDER, String(version));
  }
}
