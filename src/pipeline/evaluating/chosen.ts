/** Which checkpoint a training with evaluation left to the steps after it, and the words for it. */
import type { RunContext } from "../context.js";
import { findDone } from "../step.js";

/** What the evaluations of a training came to. */
export interface Chosen {
  /** The step that later steps of the run work with. */
  readonly step: number;
  /** The step with which training ended: where the patience ran out, or the last one. */
  readonly last: number;
  readonly best: { readonly step: number; readonly measure: string; readonly value: number };
  readonly isStoppedEarly: boolean;
}

/** Says which checkpoint the steps of a run work with, where there was a choice. */
export function tellChosen(context: RunContext): void {
  const result = findDone(context, "train")?.result as { readonly chosen?: Chosen } | undefined;
  if (result?.chosen === undefined) return;
  context.events.emit({ type: "notice", message: describeChosen(result.chosen), hint: null });
}

function describeChosen({ best, last, isStoppedEarly, step }: Chosen): string {
  const ended = isStoppedEarly ? `training stopped early at step ${last}` : `training ended with step ${last}`;
  const value = `${best.measure} ${best.value.toFixed(4)}`;
  const used = step === best.step ? "the best" : "the last";
  return `${ended}; the best checkpoint is that of step ${best.step} (${value}); what follows works with ${used}, checkpoint-${step}`;
}
