/** Checks that a learning rate schedule's options are its own and all there; pure, no file is touched. */
import { nearest } from "../nearest.js";
import type { Problem } from "./explain.js";
import type { TrainConfig } from "./schema.js";
import { SCHEDULE_KWARGS } from "./training-args.generated.js";

/** Schedules for which transformers has no default of one of these. */
const NEEDED: Readonly<Partial<Record<string, readonly string[]>>> = {
  cosine_with_min_lr: ["min_lr", "min_lr_rate"],
  cosine_warmup_with_min_lr: ["min_lr", "min_lr_rate"],
  warmup_stable_decay: ["num_decay_steps"],
};

/** What is wrong with lrSchedulerKwargs. */
export function checkSchedule({ lrSchedulerType, lrSchedulerKwargs = {} }: TrainConfig["args"]): Problem[] {
  const path = ["train", "args", "lrSchedulerKwargs"];
  const own = SCHEDULE_KWARGS[lrSchedulerType];
  const strangers = Object.keys(lrSchedulerKwargs).filter((name) => !own.includes(name));
  const problems: Problem[] = strangers.map((name) => {
    const near = nearest(name, own);
    const wayOut = near === null ? `it takes ${own.join(", ") || "none"}` : `did you mean ${near}?`;
    return { path: [...path, name], message: `is no option of the schedule ${lrSchedulerType}; ${wayOut}` };
  });
  const needed = NEEDED[lrSchedulerType] ?? [];
  const given = needed.filter((name) => (lrSchedulerKwargs[name] ?? null) !== null);
  if (needed.length === 0 || given.length === 1) return problems;
  const message = `${lrSchedulerType} needs ${needed.length > 1 ? "one of " : ""}${needed.join(", ")}`;
  return [...problems, { path, message }];
}
