/** What a training's weights come from besides its options: the data, what negatives are mined from, the models and the code of plugins. Others must not be gone on with. */
import { resolve } from "node:path";
import { QuarryError } from "../errors.js";
import type { Experiment } from "../experiment/define.js";
import { modelsOf } from "../experiment/mine-checks.js";
import type { JournalEntry } from "../rundir/journal.js";
import { changedModels, type LocalModels } from "./local-models.js";
import { PluginSources } from "./plugin-sources.js";
import type { MinedFrom } from "./refresh/sources.js";

/** The journal's entry that comes before the first checkpoint. */
const BEGUN = "trainBegun";

/** What a run's weights learn from, as the journal holds it. */
export interface LearnedFrom {
  /** Fingerprint of the training set. */
  readonly data: string;
  /** sha256 of each plugin's file, as the fingerprint of a model's vectors holds it. */
  readonly plugins: readonly string[];
  /** Of the model that it begins with, and those that mine for it. */
  readonly models?: LocalModels;
  /** What refreshed negatives are mined from besides the training data; absent where there is nothing. */
  readonly mined?: MinedFrom;
}

/** The plugins that shape a training, as written: the model's, and those of models that mine for it. */
function pluginsOf({ model, train }: Experiment["config"]): readonly string[] {
  const miners = train?.refresh === undefined ? [] : modelsOf(train.refresh.mine);
  return [...model.plugins, ...miners.flatMap(([, each]) => (each.kind === "biEncoder" ? each.plugins : []))];
}

/**
 * What this training would learn from.
 *
 * @param sources what plugins held when the run first needed them; without it, what they hold now
 */
export function learnedFrom(
  { config, baseDir }: Experiment,
  data: string,
  sources: PluginSources = new PluginSources(),
): LearnedFrom {
  return { data, plugins: pluginsOf(config).map((plugin) => sources.sha256(resolve(baseDir, plugin))) };
}

/** The entry to append before the first checkpoint counts; null where the journal has one. */
export function begunEntry(entries: readonly JournalEntry[], from: LearnedFrom) {
  return begunOf(entries) === undefined ? { type: BEGUN, ...from } : null;
}

/** What the checkpoints of a run folder learned from; undefined without any, and partly in folders of older versions. */
export function begunOf(entries: readonly JournalEntry[]): Partial<LearnedFrom> | undefined {
  return entries.findLast(({ type }) => type === BEGUN) as Partial<LearnedFrom> | undefined;
}

/**
 * Weights that learned from other data, grew out of another model, or learned from the loss or through the encoder of
 * other code, must not be gone on with, or passed off as trained with these.
 *
 * @param mark where `before` is from, in words that follow "is not what"
 * @throws QuarryError CONFIG that names what differs
 */
export function refuseOthers(
  before: Partial<LearnedFrom> | undefined,
  now: LearnedFrom,
  { config }: Experiment,
  mark = "this run's checkpoints were trained with",
): void {
  if (before?.data !== undefined && before.data !== now.data) {
    throw changed(
      "the training data is not what this run's checkpoints were trained on",
      "the files back as they were",
    );
  }
  const [mined] = changedModels(before?.mined, now.mined ?? {});
  if (mined !== undefined) throw changed(`${mined} is not what ${mark}`, "its files back as they were");
  const [model] = changedModels(before?.models, now.models ?? {});
  if (model !== undefined) throw changed(`the model ${model} is not what ${mark}`, "its files back as they were");
  const [plugin] = editedPlugins(before, now, config);
  if (plugin !== undefined) throw changed(`the plugin ${plugin} is not what ${mark}`, "the file back as it was");
}

function changed(message: string, back: string): QuarryError {
  return new QuarryError("CONFIG", message, {
    hint: `Put ${back} to go on, or choose another folder with --runDir.`,
  });
}

/** Plugins, as the experiment names them, that are others than before. */
export function editedPlugins(
  before: Partial<LearnedFrom> | undefined,
  now: LearnedFrom,
  config: Experiment["config"],
): string[] {
  return pluginsOf(config).filter((_, at) => now.plugins[at] !== (before?.plugins?.[at] ?? now.plugins[at]));
}
