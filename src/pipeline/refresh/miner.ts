/** Mines a version of the negatives with a checkpoint, on workers of its own, while the ranks go on. */
import { readdir, rm } from "node:fs/promises";
import { join, relative } from "node:path";
import { QuarryError } from "../../errors.js";
import type { RefreshConfig } from "../../experiment/schema.js";
import type { RunContext } from "../context.js";
import { mineInto } from "../mine.js";
import { besideRanks, SideContext } from "../side-pool.js";
import { type Mined, type MinedFile, seal } from "./mined.js";
import type { MinedVersions } from "./mined-versions.js";

export class Miner {
  #side: SideContext | null = null;
  #isClosed = false;

  /** @param ranks training processes, which keep their devices */
  constructor(
    private readonly context: RunContext,
    private readonly versions: MinedVersions,
    private readonly workers: RefreshConfig["workers"],
    private readonly ranks: number,
  ) {}

  /**
   * Mines a version. What a killed process made durable of it, parts of its searches, is not done again.
   *
   * @param weights folder of the checkpoint's weights
   * @throws QuarryError as mining does; INTERRUPTED once closed.
   */
  async mine(version: number, fromStep: number, weights: string): Promise<Mined> {
    const begin = performance.now();
    const open = await besideRanks(this.context, this.workers, this.ranks, "train.refresh.workers");
    if (this.#isClosed) throw new QuarryError("INTERRUPTED", "Mining was stopped with the training.");
    const { embeddings } = this.context.config;
    // The vectors of a checkpoint in passing are of no use later, and would fill the cache.
    const config = { embeddings: { ...embeddings, store: false } };
    const side = new SideContext(this.context, { name: "mine", config, open });
    this.#side = side;
    try {
      const { targets, key } = this.versions;
      const checkpoint = `checkpoint-${fromStep}`;
      const folder = this.versions.folder(version);
      const files: MinedFile[] = [];
      const needless: (() => Promise<void>)[] = [];
      for (const { part, mine } of targets) {
        const place = join(folder, `part-${part}`);
        const step = relative(this.context.runDir.path, place);
        // Every version draws anew where mining draws at random.
        const choice = { label: checkpoint, checkpoint: weights };
        const found = await mineInto(side, { step, section: "train.refresh.mine" }, choice, mine, version);
        const [[path, lines]] = found.files as [[string, number]];
        files.push({ part, path: relative(folder, this.context.runDir.file(path)), lines });
        const kept = [found.report, ...found.files.map(([file]) => file)];
        const names = new Set(kept.map((file) => relative(place, this.context.runDir.file(file))));
        needless.push(() => clear(place, names));
      }
      // Not before all parts are mined: what a part's search left spares it when another part is interrupted.
      for (const remove of needless) await remove();
      const seconds = (performance.now() - begin) / 1000;
      return await seal(folder, { version, fromStep, checkpoint, key, seconds }, files);
    } finally {
      this.#side = null;
      await side.close();
    }
  }

  /** Cuts off what is going on; what is durable of it stays. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#side?.close();
  }
}

/** Removes what only an interrupted search needs. */
async function clear(folder: string, kept: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!kept.has(name)) await rm(join(folder, name), { recursive: true, force: true });
  }
}
