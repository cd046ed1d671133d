/** Checks between ways to hold and to run a model in training that do not work, or that no test has seen, together; pure, no file is touched. */
import type { Problem } from "./explain.js";
import type { ExperimentConfig } from "./schema.js";

/** Every pair that is refused. */
export function checkEngines({ model, train }: ExperimentConfig): Problem[] {
  if (train === undefined) return [];
  const problems: Problem[] = [];
  const say = (option: string, message: string): void => {
    problems.push({ path: ["train", "args", option], message });
  };
  const { fsdp, torchCompile, torchCompileBackend, torchCompileMode, gradientCheckpointing } = train.args;
  if (gradientCheckpointing && !train.dropout)
    say("gradientCheckpointing", "does not work together with dropout: false; leave one of them out");
  const compiling = Object.entries({ torchCompile, torchCompileBackend, torchCompileMode }).find(([, value]) => value);
  if (fsdp && model.quantization !== undefined)
    say("fsdp", "cannot share out weights in 8 or 4 bits; leave it or model.quantization out");
  if (compiling === undefined) return problems;
  if (fsdp) say(compiling[0], "does not work together with fsdp; leave one of them out");
  if (model.quantization !== undefined)
    say(compiling[0], "does not work together with model.quantization; leave one of them out");
  return problems;
}
