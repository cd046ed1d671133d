/** The options that measure and compare share. */
import type { Command } from "commander";
import type { MeasureOptions } from "../index.js";
import { unfitFlag } from "./failure.js";

export interface MeasureFlags {
  readonly measures?: readonly string[];
  readonly level?: string;
  readonly skipMissing?: boolean;
  readonly json?: boolean;
}

/** Adds the options to a command. */
export function withMeasureOptions(command: Command): Command {
  return command
    .option("--measures <names...>", "e.g. nDCG@10 'P(rel=2)@5'; official and all_trec are sets")
    .option("--level <grade>", "lowest grade that counts as relevant (default: 1)")
    .option("--skip-missing", "leave out judged queries without results; else they count as 0")
    .option("--json", "write JSON")
    .option("--debug", "show the trace of an error");
}

/**
 * What the flags mean.
 *
 * @throws QuarryError CONFIG for a level that is none.
 */
export function measureOptions(command: string, flags: MeasureFlags): MeasureOptions {
  const level = wholeNumber(command, "level", flags.level);
  // Commas between brackets belong to a measure: RR(rel=2,judged_only=True)@10.
  const measures = flags.measures?.flatMap((list) => list.split(/,(?![^()]*\))/)).filter((name) => name.trim() !== "");
  return {
    ...(measures === undefined ? {} : { measures }),
    ...(level === undefined ? {} : { relevanceLevel: level }),
    ...(flags.skipMissing ? { missing: "skip" } : {}),
  };
}

/** A flag's number from 1 on. */
export function wholeNumber(command: string, flag: string, written: string | undefined, least = 1): number | undefined {
  if (written === undefined) return undefined;
  if (/^\d{1,9}$/.test(written) && Number(written) >= least) return Number(written);
  throw unfitFlag(command, flag, `a whole number from ${least} on`, written);
}
