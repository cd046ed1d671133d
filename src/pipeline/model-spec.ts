/** Turns the experiment's model options into what travels to a worker. */
import { resolve } from "node:path";
import type { Experiment } from "../experiment/define.js";
import { resolveCheckpoint } from "../experiment/paths.js";
import type { CrossEncoderConfig } from "../experiment/schema.js";
import type { CrossEncoderSpec, ModelSpec } from "../protocol/messages.js";

/**
 * The model spec of an experiment, or of a checkpoint that was trained from it.
 *
 * @param checkpoint a folder that takes the place of the configured checkpoint; a revision names a commit on the hub, so
 *   it does not apply to such a folder, but running the checkpoint's own code needs one wherever the weights lie
 */
export function toModelSpec({ config: { model }, baseDir }: Experiment, checkpoint?: string): ModelSpec {
  return {
    checkpoint: checkpoint ?? resolveCheckpoint(model.checkpoint, baseDir),
    revision: checkpoint === undefined || model.trustRemoteCode ? (model.revision ?? null) : null,
    trustRemoteCode: model.trustRemoteCode,
    encoder: model.encoder,
    encoderOptions: model.encoderOptions,
    plugins: model.plugins.map((plugin) => resolve(baseDir, plugin)),
    pooling: model.pooling ?? null,
    normalize: model.normalize ?? null,
    similarity: model.similarity ?? null,
    queryPrompt: model.prompts.query ?? null,
    passagePrompt: model.prompts.passage ?? null,
    queryMaxLength: model.queryMaxLength ?? null,
    passageMaxLength: model.passageMaxLength ?? null,
    dtype: model.dtype,
  };
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
    dtype: config.dtype,
  };
}
