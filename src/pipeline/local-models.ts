/** Which models in folders, and which plugins, a step works with, and what their files hold: they may be changed in place. */
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { stampSource } from "../data/cache/source-stamp.js";
import { dataFolder } from "../data/index.js";
import { BASE_NAME, modelsOf, RUN_NAME } from "../experiment/mine-checks.js";
import { resolveCheckpoint } from "../experiment/paths.js";
import type { CrossEncoderConfig, ExperimentConfig, ModelConfig } from "../experiment/schema.js";
import { foldersOf } from "../pool/model-files.js";
import type { RunContext } from "./context.js";

/** A hash over the files of each model or plugin, by its path as the experiment names it. */
export type LocalModels = Readonly<Record<string, string>>;

/**
 * What the models of a step hold. Files seen before cost a stat each. A model of the hub is left out: its files do not
 * change under one commit.
 *
 * @param step name in the journal, e.g. `evaluate-base/scifact`
 */
export async function localModels(context: RunContext, step: string): Promise<LocalModels> {
  const models: Record<string, string> = {};
  for (const checkpoint of modelsIn(context.config, step).flatMap(checkpointsOf)) {
    const folders = await foldersOf([resolveCheckpoint(checkpoint, context.experiment.baseDir)]);
    if (folders.length === 0) continue;
    const hash = createHash("sha256");
    for (const { folder, paths } of folders) {
      for (const path of paths) {
        const { sha256 } = await stampSource(join(folder, path), dataFolder(context.cacheDir), context.signal);
        hash.update(`${sha256} ${path}\n`);
      }
    }
    models[checkpoint] = hash.digest("hex");
  }
  return models;
}

/** What the plugins of a step hold, as the run found them; those of a training are in what it learned from. */
export function localPlugins({ config, experiment, pluginSources }: RunContext, step: string): LocalModels {
  if (verbOf(step) === "train") return {};
  const own = verbOf(step) === "rerank" || isModelIdle(config, step) ? [] : [config.model];
  const plugins = [...own, ...modelsIn(config, step)].flatMap((model) =>
    model.kind === "biEncoder" ? model.plugins : [],
  );
  return Object.fromEntries(
    plugins.map((plugin) => [plugin, pluginSources.sha256(resolve(experiment.baseDir, plugin))]),
  );
}

/** Models or plugins that are others than before, as the experiment names them; what one side says nothing of is the same. */
export function changedModels(before: LocalModels | undefined, now: LocalModels): string[] {
  return Object.keys(now).filter((name) => (before?.[name] ?? now[name]) !== now[name]);
}

/** A step with the model as it is. */
const IS_BASE = new RegExp(`^[a-z]+-${BASE_NAME}\\b`);

function verbOf(step: string): string {
  return /^[a-z]+/.exec(step)?.[0] ?? "";
}

/** Mining may leave the experiment's own model out, and so does whoever measures a run from elsewhere. */
function isModelIdle({ mine }: ExperimentConfig, step: string): boolean {
  return step.startsWith(`evaluate-${RUN_NAME}`) || (verbOf(step) === "mine" && mine?.includeModel === false);
}

/** The models whose weights a step reads from where the experiment says. */
function modelsIn(config: ExperimentConfig, step: string): readonly (ModelConfig | CrossEncoderConfig)[] {
  const { model, rerank, mine, train } = config;
  const verb = verbOf(step);
  const others = (section: Parameters<typeof modelsOf>[0] | undefined) =>
    section === undefined ? [] : modelsOf(section).map(([, each]) => each);
  if (verb === "rerank") return rerank === undefined ? [] : [rerank];
  // What was trained holds all of its weights, unless they are an adapter's.
  const isRead = verb === "train" || IS_BASE.test(step) || model.adapter !== undefined;
  return [
    ...(isRead && !isModelIdle(config, step) ? [model] : []),
    ...(verb === "mine" ? others(mine) : []),
    ...(verb === "train" ? others(train?.refresh?.mine) : []),
  ];
}

function checkpointsOf(model: ModelConfig | CrossEncoderConfig): readonly string[] {
  const query = model.kind === "biEncoder" ? model.queryCheckpoint : undefined;
  return query === undefined ? [model.checkpoint] : [model.checkpoint, query];
}
