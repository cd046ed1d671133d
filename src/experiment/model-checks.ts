/** Checks between options of a model that each are fine alone; pure, no file is touched. */
import type { Problem } from "./explain.js";
import type { ExperimentConfig } from "./schema.js";

/** Everything of the experiment's own model that does not fit together. */
export function checkModel({ model, train }: ExperimentConfig): Problem[] {
  const problems: Problem[] = [];
  const say = (option: string, message: string): void => {
    problems.push({ path: ["model", option], message });
  };
  if (model.queryCheckpoint !== undefined && model.towers === "tied")
    say("queryCheckpoint", 'names an encoder of the queries\' own, but towers is "tied"; leave one of them out');
  if (model.queryRevision !== undefined && model.queryCheckpoint === undefined)
    say("queryRevision", "belongs to queryCheckpoint, which is not there");
  if (model.quantization !== undefined && train !== undefined && model.adapter === undefined)
    say("quantization", "leaves nothing that could be trained; add adapter: lora()");
  return problems;
}
