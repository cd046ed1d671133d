/** What negatives are mined from besides the training data: texts of their own, rankings of others. Their files may be changed in place. */
import type { PreparedSource } from "../../data/types.js";
import { QuarryError } from "../../errors.js";
import { runsOf } from "../../experiment/paths.js";
import type { SearchDataConfig, TrainConfig } from "../../experiment/schema.js";
import { changedModels } from "../local-models.js";
import { runSource } from "../mining/runs.js";

/** Fingerprints by the paths of the options that name them. */
export type MinedFrom = Readonly<Record<string, string>>;

type Placed = readonly [path: string, data: SearchDataConfig];

/** The texts that are mined, where they are not those of the positives: every version of the negatives is read with them. */
export function minedTexts({ refresh }: TrainConfig): Placed[] {
  const data = refresh?.mine.data;
  return data === undefined ? [] : [["train.refresh.mine.data", data]];
}

/** All that mining reads besides models. */
export function minedSources(train: TrainConfig): Placed[] {
  const runs = runsOf({ train }, "train").map(([path, data, run]): Placed => [path, runSource(data, run)]);
  return [...minedTexts(train), ...runs];
}

/** What these hold now. */
export async function fingerprintsOf(
  sources: readonly Placed[],
  open: (data: SearchDataConfig) => Promise<PreparedSource>,
): Promise<MinedFrom> {
  const found: Record<string, string> = {};
  for (const [path, data] of sources) {
    const source = await open(data);
    source.close();
    // Each part of a mix has the run with texts of its own.
    found[path] = [found[path] ?? [], source.fingerprint].flat().join(" ");
  }
  return found;
}

/** @throws QuarryError INTEGRITY naming what is another than before; what was not noted then is the same. */
export function refuseOtherSources(before: MinedFrom, now: MinedFrom): void {
  const [path] = changedModels(before, now);
  if (path === undefined) return;
  throw new QuarryError("INTEGRITY", `${path} is not what this run's negatives are mined from: its files changed.`, {
    hint: "Put the files back as they were to go on, or choose another folder with --runDir.",
  });
}
