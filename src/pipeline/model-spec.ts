/** Turns the experiment's model options into what travels to a worker. */
import { resolve } from "node:path";
import type { Experiment } from "../experiment/define.js";
import { resolveCheckpoint } from "../experiment/paths.js";
import type { AdapterConfig, CrossEncoderConfig, ExperimentConfig } from "../experiment/schema.js";
import type { AdapterSpec, CrossEncoderSpec, ModelSpec } from "../protocol/messages.js";
import type { PluginSources } from "./plugin-sources.js";

/** What is needed of an experiment. */
type Modelled = Pick<Experiment, "baseDir"> & { readonly config: Pick<ExperimentConfig, "model"> };

/**
 * The model spec of an experiment, or of a checkpoint that was trained from it.
 *
 * @param checkpoint a folder that takes the place of the configured checkpoint; a revision names a commit on the hub, so
 *   it does not apply to such a folder, but running the checkpoint's own code needs one wherever the weights lie
 * @param sources what plugins are held against; without it each process takes the files as it finds them
 */
export function toModelSpec(
  { config: { model }, baseDir }: Modelled,
  checkpoint?: string,
  sources?: PluginSources,
): ModelSpec {
  return {
    checkpoint: checkpoint ?? resolveCheckpoint(model.checkpoint, baseDir),
    revision: checkpoint === undefined || model.trustRemoteCode ? (model.revision ?? null) : null,
    trustRemoteCode: model.trustRemoteCode,
    encoder: model.encoder,
    encoderOptions: model.encoderOptions,
    plugins: model.plugins.map((plugin) => {
      const path = resolve(baseDir, plugin);
      return { path, sha256: sources?.sha256(path) ?? null };
    }),
    pooling: model.pooling ?? null,
    normalize: model.normalize ?? null,
    similarity: model.similarity ?? null,
    queryPrompt: model.prompts.query ?? null,
    passagePrompt: model.prompts.passage ?? null,
    queryMaxLength: model.queryMaxLength ?? null,
    passageMaxLength: model.passageMaxLength ?? null,
    appendEos: model.appendEos ?? null,
    padToMultipleOf: model.padToMultipleOf ?? null,
    towers: model.towers ?? null,
    // What was trained holds both encoders.
    queryCheckpoint:
      checkpoint === undefined && model.queryCheckpoint !== undefined
        ? resolveCheckpoint(model.queryCheckpoint, baseDir)
        : null,
    queryRevision: checkpoint === undefined ? (model.queryRevision ?? null) : null,
    adapter: model.adapter === undefined ? null : toAdapterSpec(model.adapter),
    quantization: model.quantization ?? null,
    dtype: model.dtype,
  };
}

function toAdapterSpec({ kind: _kind, targetModules, ...rest }: AdapterConfig): AdapterSpec {
  return { ...rest, targetModules: targetModules === "all-linear" ? null : targetModules };
}

/** The spec of a cross-encoder, wherever it stands in an experiment. */
export function toCrossEncoderSpec(config: CrossEncoderConfig, baseDir: string): CrossEncoderSpec {
  return {
    checkpoint: resolveCheckpoint(config.checkpoint, baseDir),
    revision: config.revision ?? null,
    trustRemoteCode: config.trustRemoteCode,
    maxLength: config.maxLength ?? null,
    activation: config.activation ?? null,
    label: config.label ?? null,
    template: config.template ?? null,
    prompt: config.prompt ?? null,
    trueToken: config.trueToken ?? null,
    falseToken: config.falseToken ?? null,
    dtype: config.dtype,
  };
}
