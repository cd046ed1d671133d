/** Which models in folders a step works with, and what their files hold: they may be changed in place. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { stampSource } from "../data/cache/source-stamp.js";
import { dataFolder } from "../data/index.js";
import { modelsOf } from "../experiment/mine-checks.js";
import { resolveCheckpoint } from "../experiment/paths.js";
import type { CrossEncoderConfig, ExperimentConfig, ModelConfig } from "../experiment/schema.js";
import { foldersOf } from "../pool/model-files.js";
import type { RunContext } from "./context.js";

/** A hash over the files of each model, by the checkpoint as the experiment names it. */
export type LocalModels = Readonly<Record<string, string>>;

/**
 * What the models of a step hold. Files seen before cost a stat each. A model of the hub is left out: its files do not
 * change under one commit.
 *
 * @param step name in the journal, e.g. `evaluate-base/scifact`
 */
export async function localModels(context: RunContext, step: string): Promise<LocalModels> {
  const models: Record<string, string> = {};
  for (const checkpoint of checkpointsOf(context.config, step)) {
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

/** Models that are others than before, as the experiment names them; what one side says nothing of is the same. */
export function changedModels(before: LocalModels | undefined, now: LocalModels): string[] {
  return Object.keys(now).filter((name) => (before?.[name] ?? now[name]) !== now[name]);
}

function checkpointsOf({ model, rerank, mine, train }: ExperimentConfig, step: string): readonly string[] {
  const [, verb, isBase] = /^([a-z]+)(-base\b)?/.exec(step) ?? [];
  const others = (section: Parameters<typeof modelsOf>[0] | undefined) =>
    section === undefined ? [] : modelsOf(section).map(([, each]) => each);
  // What was trained holds all of its weights, unless they are an adapter's.
  const own = verb === "train" || isBase !== undefined || model.adapter !== undefined ? [model] : [];
  const models: readonly (ModelConfig | CrossEncoderConfig | undefined)[] =
    verb === "rerank"
      ? [rerank]
      : [...own, ...(verb === "mine" ? others(mine) : []), ...(verb === "train" ? others(train?.refresh?.mine) : [])];
  return models.flatMap((each) => {
    if (each === undefined) return [];
    const query = each.kind === "biEncoder" ? each.queryCheckpoint : undefined;
    return query === undefined ? [each.checkpoint] : [each.checkpoint, query];
  });
}
