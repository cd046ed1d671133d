/** `quarry compare`: whether runs differ, by how much, and in which queries. */
import { Command } from "commander";
import { counted } from "../counted.js";
import type { ComparedMeasure, Comparison, MovedQuery } from "../index.js";
import { tableLines } from "../report/format.js";
import { cleanLines } from "../report/text-width.js";
import { type MeasureFlags, measureOptions, wholeNumber, withMeasureOptions } from "./measure-options.js";

interface Flags extends MeasureFlags {
  readonly qrels?: string;
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
    .option("--top <number>", "how many queries with the biggest changes are listed (default: 5)")
    .option("--all-pairs", "compare all with all, not each with the first")
    .option("--seed <number>", "seed of what is sampled (default: 42)")
    .option("--samples <number>", "sampled assignments of the randomisation test (default: 100000)");
  return withMeasureOptions(command).action(compare);
}

async function compare(runs: readonly string[], flags: Flags): Promise<void> {
  const seed = wholeNumber("compare", "seed", flags.seed, 0);
  const samples = wholeNumber("compare", "samples", flags.samples);
  const top = wholeNumber("compare", "top", flags.top, 0);
  const { compareRuns } = await import("../index.js");
  const found = await compareRuns(runs, {
    ...measureOptions("compare", flags),
    ...(flags.qrels === undefined ? {} : { qrels: flags.qrels }),
    ...(seed === undefined ? {} : { seed }),
    ...(samples === undefined ? {} : { samples }),
    ...(top === undefined ? {} : { top }),
    ...(flags.allPairs ? { allPairs: true } : {}),
  });
  process.stdout.write(
    flags.json ? `${JSON.stringify(found, null, 2)}\n` : `${cleanLines(describe(found).join("\n"))}\n`,
  );
}

function describe({ runs, queryCount, comparisons, unstated }: Comparison): string[] {
  const lines = [counted(queryCount, "queries")];
  for (const name of unstated) lines.push(`${name}: does not say by which level and judgements it was measured`);
  for (const { run, leftOut } of runs) {
    if (leftOut > 0) lines.push(`${run}: ${counted(leftOut, "queries")} left out that another run lacks`);
  }
  const pairs = new Map<string, ComparedMeasure[]>();
  for (const each of comparisons) {
    const pair = `${each.baseline} → ${each.run}`;
    pairs.set(pair, [...(pairs.get(pair) ?? []), each]);
  }
  for (const [pair, measures] of pairs) lines.push("", pair, ...tableLines(COLUMNS, measures.map(row)));
  const tests = comparisons.length;
  if (tests > 1) lines.push("", `p in brackets: corrected for ${tests} comparisons (Holm)`);
  for (const [pair, measures] of pairs) {
    for (const each of measures) {
      const of = pairs.size > 1 ? `${each.measure} (${pair})` : each.measure;
      if (each.gains.length > 0) lines.push("", `biggest gains of ${of}`, ...moved(each.gains));
      if (each.drops.length > 0) lines.push("", `biggest losses of ${of}`, ...moved(each.drops));
    }
  }
  return lines;
}

const COLUMNS = ["", "baseline", "run", "gain", "95 % interval", "t-test", "randomisation", "wins", "ties", "losses"];

function row(each: ComparedMeasure): string[] {
  const { tTest, randomisation, interval } = each;
  return [
    each.measure,
    each.baselineMean.toFixed(4),
    each.runMean.toFixed(4),
    signed(each.difference),
    `${signed(interval[0])} to ${signed(interval[1])}`,
    `${p(tTest.p)} (${p(tTest.pAdjusted)})`,
    `${p(randomisation.p)} (${p(randomisation.pAdjusted)})`,
    ...[each.wins, each.ties, each.losses].map((count) => count.toLocaleString("en-US")),
  ];
}

function moved(queries: readonly MovedQuery[]): string[] {
  return tableLines(
    ["query", "baseline", "run", "difference"],
    queries.map(({ query, baseline, run, difference }) => [
      query,
      baseline.toFixed(4),
      run.toFixed(4),
      signed(difference),
    ]),
  );
}

function signed(value: number): string {
  return `${value >= 0 ? "+" : ""}${value.toFixed(4)}`;
}

function p(value: number | null): string {
  if (value === null) return "-";
  return value < 0.0001 ? "<.0001" : value.toFixed(4);
}
