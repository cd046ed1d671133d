/** What a model turned out to be, asked of the workers and kept with the run. */
import type { ModelContract } from "../protocol/messages.js";
import type { RunContext } from "./context.js";
import type { ModelChoice } from "./step.js";

/** Loads the model in the workers and records its contract in environment.json. */
export async function describe(context: RunContext, model: ModelChoice): Promise<ModelContract> {
  const pool = await context.pool();
  const contract = await pool.describe(context.modelSpec(model.checkpoint));
  await context.runDir.recordEnvironment({
    models: { [model.label]: contract.fingerprint },
    contracts: { [model.label]: contract },
  });
  return contract;
}
