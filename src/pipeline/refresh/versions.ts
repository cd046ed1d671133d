/** The versions of a training's negatives, each as the batches it gives: for a training, and for whoever looks at one later. */
import { openTrainingSet, prepareSource } from "../../data/index.js";
import type { DataContext, MicroBatch, TrainingSet } from "../../data/types.js";
import { QuarryError } from "../../errors.js";
import type { TrainConfig } from "../../experiment/schema.js";
import type { Layout } from "../../training/index.js";
import type { ResolveContext } from "../embedded.js";
import { resolveSearch, resolveTraining } from "../resolve.js";
import { StepBatches } from "../step-batches.js";
import type { Mined } from "./mined.js";
import { MinedVersions } from "./mined-versions.js";
import { fingerprintsOf, type MinedFrom, minedSources, minedTexts, refuseOtherSources } from "./sources.js";
import { type JournalledSwitch, versionAt } from "./switches.js";

/** A version, opened. */
export interface OpenedVersion {
  readonly set: TrainingSet;
  readonly batches: StepBatches;
}

/** Where versions are opened. */
export interface VersionPlace {
  readonly resolve: ResolveContext;
  readonly context: DataContext;
  /** Folder of the negatives, `train/negatives` of a run. */
  readonly folder: string;
}

export class Versions {
  readonly mined: MinedVersions;
  readonly #opened = new Map<number, OpenedVersion | Promise<OpenedVersion>>();

  /**
   * @param given the training set with the negatives that the experiment names, version 0; whoever opened it closes it
   * @param minedFrom what the versions are mined from besides it, as far as that was noted
   */
  constructor(
    private readonly place: VersionPlace,
    private readonly train: TrainConfig,
    given: TrainingSet,
    private readonly switches: () => readonly JournalledSwitch[],
    private readonly minedFrom: MinedFrom = {},
  ) {
    const others = [given.fingerprint, String(place.context.seed), ...Object.entries(minedFrom).flat()];
    this.mined = new MinedVersions(place.folder, train, others);
    this.#opened.set(0, { set: given, batches: new StepBatches(given, train.globalBatchSize) });
  }

  /** The version that the journal gives a step; steps count from 0. */
  ofStep(step: number): OpenedVersion | Promise<OpenedVersion> {
    return this.open(versionAt(this.switches(), step));
  }

  /** A rank's share of a micro-step as the journal has it. */
  microBatch(step: number, microStep: number, rank: number, layout: Layout): MicroBatch | Promise<MicroBatch> {
    const opened = this.ofStep(step);
    if (!(opened instanceof Promise)) return opened.batches.microBatch(step, microStep, rank, layout);
    return opened.then(({ batches }) => batches.microBatch(step, microStep, rank, layout));
  }

  /**
   * Opens a version, once.
   *
   * @param mined negatives that the journal does not name yet
   * @throws QuarryError INTEGRITY when negatives that the journal names are gone or changed, or the texts that they were
   *   mined from; DATA.
   */
  open(version: number, mined?: Mined): OpenedVersion | Promise<OpenedVersion> {
    const known = this.#opened.get(version);
    if (known !== undefined) return known;
    const opening = this.#openVersion(version, mined);
    this.#opened.set(version, opening);
    // It may have been forgotten meanwhile, and be opened anew by somebody else.
    const isWanted = (): boolean => this.#opened.get(version) === opening;
    opening.then(
      (opened) => isWanted() && this.#opened.set(version, opened),
      () => isWanted() && this.#opened.delete(version),
    );
    return opening;
  }

  /** A version that is open; null for others. */
  known(version: number): OpenedVersion | null {
    const found = this.#opened.get(version);
    return found === undefined || found instanceof Promise ? null : found;
  }

  /** Closes a version that nobody asks for any more; opened again when somebody does. */
  async forget(version: number): Promise<void> {
    const opening = version === 0 ? undefined : this.#opened.get(version);
    if (opening === undefined) return;
    this.#opened.delete(version);
    const opened = await Promise.resolve(opening).catch(() => null);
    opened?.batches.close();
    opened?.set.close();
  }

  /** Closes all sets but the given one. */
  async close(): Promise<void> {
    this.known(0)?.batches.close();
    for (const version of [...this.#opened.keys()]) await this.forget(version);
  }

  /** @throws QuarryError INTEGRITY when what is mined from is not what was noted. */
  async refuseOtherSources(sources = minedSources(this.train)): Promise<void> {
    const noted = sources.filter(([path]) => path in this.minedFrom);
    const { resolve, context } = this.place;
    const now = await fingerprintsOf(noted, async (data) => prepareSource(await resolveSearch(resolve, data), context));
    refuseOtherSources(this.minedFrom, now);
  }

  async #openVersion(version: number, mined: Mined | undefined): Promise<OpenedVersion> {
    await this.refuseOtherSources(minedTexts(this.train));
    const data = this.mined.dataOf(mined ?? (await this.#announced(version)));
    const set = await openTrainingSet(await resolveTraining(this.place.resolve, data), this.place.context);
    return { set, batches: new StepBatches(set, this.train.globalBatchSize) };
  }

  async #announced(version: number): Promise<Mined> {
    const mined = await this.mined.announced(version, this.switches()[version - 1]?.fingerprint ?? "");
    if (mined !== null) return mined;
    const folder = this.mined.folder(version);
    throw new QuarryError(
      "INTEGRITY",
      `${folder}: the negatives that this training learned from are gone or changed.`,
      {
        hint: "Restore the folder from a copy; to train anew choose another folder with --runDir.",
      },
    );
  }
}
