/** A look at a cross-encoder's files before the work that comes before it. */
import { isAbsolute } from "node:path";
import type { CrossEncoderConfig } from "../experiment/schema.js";
import type { RunContext } from "./context.js";
import { toCrossEncoderSpec } from "./model-spec.js";
import { runtimeAnswer } from "./runtime-command.js";

/** One look serves all data sets of a run. */
const looked = new WeakMap<RunContext, Map<CrossEncoderConfig, Promise<unknown>>>();

/**
 * Refuses a cross-encoder that could score no pair, without loading it.
 *
 * @throws QuarryError CONFIG, ENVIRONMENT or INTEGRITY, as the workers would say it.
 */
export async function lookAtCrossEncoder(context: RunContext, config: CrossEncoderConfig | undefined): Promise<void> {
  if (config === undefined) return;
  const spec = toCrossEncoderSpec(config, context.experiment.baseDir);
  // Where all workers are elsewhere, a model of the hub need never come here.
  if (context.config.workers.count === 0 && !isAbsolute(spec.checkpoint)) return;
  const own = looked.get(context) ?? new Map<CrossEncoderConfig, Promise<unknown>>();
  looked.set(context, own);
  const purpose = "the cross-encoder could not be looked at";
  const look = own.get(config) ?? runtimeAnswer(context, "cross-encoder", ["--spec", JSON.stringify(spec)], purpose);
  own.set(config, look);
  await look;
}
