/** Where the versions of a training's negatives lie, and the training data with a version in its place. */
import { join } from "node:path";
import { namesPositives } from "../../data/index.js";
import { type RefreshTarget, refreshTargets } from "../../experiment/refresh.js";
import type { SearchDataConfig, TrainConfig, TrainingDataConfig } from "../../experiment/schema.js";
import { jsonDigest } from "../../json-digest.js";
import { runSource } from "../mining/runs.js";
import { fingerprintOf, type Mined, readMined } from "./mined.js";

export class MinedVersions {
  /** What is mined for. */
  readonly targets: readonly RefreshTarget[];
  /** Hash over what negatives depend on besides the checkpoint. */
  readonly key: string;

  /** @param others what they depend on besides the options: data, seed */
  constructor(
    private readonly root: string,
    private readonly train: TrainConfig,
    others: readonly string[],
  ) {
    const { mine, parts } = train.refresh ?? {};
    const targets = refreshTargets(train);
    this.targets = mine?.data === undefined ? targets.map(withPositives) : targets;
    this.key = jsonDigest([mine ?? null, parts ?? null, others]);
  }

  folder(version: number): string {
    return join(this.root, String(version));
  }

  /** A version that is durable and whole, made of the data and options at hand, or null. */
  find(version: number): Promise<Mined | null> {
    return readMined(this.folder(version), version, this.key);
  }

  /** A version that was announced with a fingerprint, or null where it is gone or changed. */
  async announced(version: number, fingerprint: string): Promise<Mined | null> {
    const mined = await readMined(this.folder(version), version, null);
    return mined !== null && fingerprintOf(mined) === fingerprint ? mined : null;
  }

  /** The training data with the negatives of a version in the place of those that the experiment names. */
  dataOf(mined: Mined): TrainingDataConfig {
    const { data } = this.train;
    const replaced = <View extends TrainingDataConfig>(view: View, part: number): View => {
      const negatives = this.#negativesOf(mined, part);
      return negatives === null ? view : { ...view, negatives };
    };
    if (data.kind !== "mix") return replaced(data, 0);
    return { ...data, parts: data.parts.map((part, index) => ({ ...part, data: replaced(part.data, index) })) };
  }

  /** The texts that were mined from, with what was mined in the place of their judgements. */
  #negativesOf(mined: Mined, part: number): SearchDataConfig | null {
    const file = mined.files.find((found) => found.part === part);
    const target = this.targets.find((found) => found.part === part);
    if (file === undefined || target === undefined || target.mine.data.kind !== "source") return null;
    return runSource(target.mine.data, join(this.folder(mined.version), file.path));
  }
}

/** Mining asks for labels above 0; what the view takes as positives whatever their scores is as positive to it. */
function withPositives(target: RefreshTarget): RefreshTarget {
  const { view, mine } = target;
  const { data } = mine;
  if (data.kind !== "source" || !(view.kind === "scored" || namesPositives(data))) return target;
  return { ...target, mine: { ...mine, data: { ...data, scoreTransform: 1 } } };
}
