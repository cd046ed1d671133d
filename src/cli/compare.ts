/** `quarry compare`: whether runs differ, by how much, and in which queries; of suites also on average. */
import { Command } from "commander";
import { cleanLines } from "../report/text-width.js";
import { type MeasureFlags, measureOptions, wholeNumber, withMeasureOptions } from "./measure-options.js";
import { print } from "./print.js";
import { commandProgress } from "./progress-line.js";

interface Flags extends MeasureFlags {
  readonly qrels?: string;
  readonly set?: string;
  readonly top?: string;
  readonly seed?: string;
  readonly samples?: string;
  readonly allPairs?: boolean;
}

/** Makes the command. */
export function compareCommand(): Command {
  const command = new Command("compare")
    .description("Compare runs query by query: paired tests, wins, losses.")
    .argument("<runs...>", "run files or folders of evaluations; the first is the baseline")
    .option("--qrels <file>", "judgements; default: those beside the runs")
    .option("--set <name>", "one data set of suites; else all and their average")
    .option("--top <number>", "queries that changed most (default: 5, of suites 0)")
    .option("--all-pairs", "compare all with all, not each with the first")
    .option("--seed <number>", "seed of what is sampled (default: 42)")
    .option("--samples <number>", "sampled assignments of the randomisation test (default: 100000)");
  return withMeasureOptions(command).action(compare);
}

async function compare(runs: readonly string[], flags: Flags): Promise<void> {
  const seed = wholeNumber("compare", "seed", flags.seed, 0);
  const samples = wholeNumber("compare", "samples", flags.samples);
  const top = wholeNumber("compare", "top", flags.top, 0);
  const options = {
    ...measureOptions("compare", flags),
    ...(flags.qrels === undefined ? {} : { qrels: flags.qrels }),
    ...(flags.set === undefined ? {} : { set: flags.set }),
    ...(seed === undefined ? {} : { seed }),
    ...(samples === undefined ? {} : { samples }),
    ...(top === undefined ? {} : { top }),
    ...(flags.allPairs ? { allPairs: true } : {}),
  };
  const { compareRuns, compareSuites, holdsSuite } = await import("../index.js");
  const { describeComparison, describeSuites } = await import("./compare/describe.js");
  const areSuites = flags.set === undefined && (await Promise.all(runs.map(holdsSuite))).every(Boolean);
  const line = commandProgress();
  const told = { ...options, ...(line === null ? {} : { onProgress: line.show }) };
  const comparison = areSuites ? compareSuites(runs, told) : compareRuns(runs, told);
  const found = await comparison.finally(() => line?.clear());
  print(flags.json, found, () =>
    cleanLines(("sets" in found ? describeSuites(found) : describeComparison(found)).join("\n")),
  );
}
