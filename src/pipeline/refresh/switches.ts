/** Which negatives a step learns from: a pure function of the switches that the journal holds. */
import { z } from "zod";
import { QuarryError } from "../../errors.js";

const count = z.int().min(0);

const entrySchema = z.object({
  version: z.int().min(1),
  fromStep: count,
  atStep: count,
  checkpoint: z.string().min(1),
  fingerprint: z.string().min(1),
});

/** The type of a switch's entry in the journal. */
export const SWITCHED = "negativesSwitched";

/** The plan goes on with other negatives. Version 0 are those that the experiment names, from the first step on. */
export interface Switch {
  /** Counts from 1 without a gap. */
  readonly version: number;
  /** Optimiser steps that the checkpoint had seen which mined them. */
  readonly fromStep: number;
  /** Optimiser steps that the model has seen when it first learns from them. */
  readonly atStep: number;
}

/** A switch as the journal holds it. */
export interface JournalledSwitch extends Switch {
  /** Name of the checkpoint that mined. */
  readonly checkpoint: string;
  /** Hash of the mined files. */
  readonly fingerprint: string;
}

/**
 * The switches of a run, in order.
 *
 * @throws QuarryError INTEGRITY when an entry is none, or they do not follow each other.
 */
export function switchesOf(entries: readonly { readonly type: string }[]): JournalledSwitch[] {
  return entries
    .filter(({ type }) => type === SWITCHED)
    .map((entry, index, all) => {
      const parsed = entrySchema.safeParse(entry);
      const before = index === 0 ? null : entrySchema.safeParse(all[index - 1]).data;
      const isNext = parsed.success && parsed.data.version === index + 1 && parsed.data.atStep >= (before?.atStep ?? 0);
      if (isNext) return parsed.data;
      throw new QuarryError("INTEGRITY", `switch ${index + 1} of the negatives in journal.jsonl is damaged.`, {
        hint: "Restore the journal from a copy, or choose another folder with --runDir.",
      });
    });
}

/** The version that a step learns from: 0 before the first switch. Steps count from 0. */
export function versionAt(switches: readonly Switch[], step: number): number {
  return switches.findLast(({ atStep }) => atStep <= step)?.version ?? 0;
}

/** Steps between the checkpoint that mined a step's negatives and the step; null for those that the experiment names. */
export function stalenessAt(switches: readonly Switch[], step: number): number | null {
  const version = versionAt(switches, step);
  return version === 0 ? null : step - (switches[version - 1] as Switch).fromStep;
}
