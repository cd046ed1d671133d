/** `quarry measure`: scores a TREC run, whoever made it. */
import { Command } from "commander";
import { counted } from "../counted.js";
import type { Measured } from "../index.js";
import { formatCount, tableLines } from "../report/format.js";
import { type MeasureFlags, measureOptions, wholeNumber, withMeasureOptions } from "./measure-options.js";
import { print } from "./print.js";
import { commandProgress } from "./progress-line.js";

interface Flags extends MeasureFlags {
  readonly depth?: string;
  readonly perQuery?: boolean;
}

/** Makes the command. */
export function measureCommand(): Command {
  const command = new Command("measure")
    .description("Score a TREC run against judgements.")
    .argument("<run>", "run file (.gz too), or the folder of an evaluation")
    .argument("[qrels]", "judgements in any format that sources read")
    .option("--depth <passages>", "look at so many passages of each query only")
    .option("--per-query", "print each query's values as well");
  return withMeasureOptions(command).action(measure);
}

async function measure(run: string, qrels: string | undefined, flags: Flags): Promise<void> {
  const options = { ...measureOptions("measure", flags), ...(qrels === undefined ? {} : { qrels }) };
  const depth = wholeNumber("measure", "depth", flags.depth);
  const { measureRun } = await import("../index.js");
  const line = commandProgress();
  const told = { ...options, ...(line === null ? {} : { onProgress: line.show }) };
  const measured = measureRun(run, { ...told, ...(depth === undefined ? {} : { depth }) });
  const found = await measured.finally(() => line?.clear());
  print(flags.json, found, () => describeMeasured(found, flags));
}

/** The means, behind each query's values where those are wanted, and below them what was counted. */
export function describeMeasured(
  { mean, queries, queryCount, withoutResults, unjudged }: Omit<Measured, "basis">,
  { perQuery, skipMissing }: Pick<Flags, "perQuery" | "skipMissing">,
): string {
  const names = Object.keys(mean);
  const width = Math.max(...names.map(({ length }) => length));
  const lines: string[] = [];
  if (perQuery) {
    const rows = Object.entries(queries).map(([query, values]) => [query, ...names.map((name) => shown(values[name]))]);
    lines.push(tableLines(["query", ...names], rows).join("\n"), "");
  }
  lines.push(...names.map((name) => `${name.padEnd(width)}  ${shown(mean[name])}`));
  const notes = [counted(queryCount, "queries")];
  if (withoutResults > 0) {
    const how = skipMissing ? "left out" : "counted as 0";
    notes.push(`${formatCount(withoutResults)} judged ones without results ${how}`);
  }
  if (unjudged > 0) notes.push(`${formatCount(unjudged)} of the run's without judgement left out`);
  return `${lines.join("\n")}\n(${notes.join("; ")})`;
}

function shown(value: number | undefined): string {
  if (value === undefined) return "-";
  return Number.isInteger(value) && Math.abs(value) > 1 ? String(value) : value.toFixed(4);
}
