/** `quarry measure`: scores a TREC run, whoever made it. */
import { Command } from "commander";
import { tableLines } from "../report/format.js";
import { type MeasureFlags, measureOptions, wholeNumber, withMeasureOptions } from "./measure-options.js";

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
  const found = await measureRun(run, { ...options, ...(depth === undefined ? {} : { depth }) });
  if (flags.json) {
    process.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
    return;
  }
  const { mean, queries, queryCount, withoutResults, unjudged } = found;
  const names = Object.keys(mean);
  const lines = names.map(
    (name) => `${name.padEnd(Math.max(...names.map(({ length }) => length)))}  ${shown(mean[name])}`,
  );
  if (flags.perQuery) {
    const rows = Object.entries(queries).map(([query, values]) => [query, ...names.map((name) => shown(values[name]))]);
    lines.unshift(...tableLines(["query", ...names], rows), "");
  }
  const notes = [`${queryCount.toLocaleString("en-US")} queries`];
  if (withoutResults > 0) {
    const how = options.missing === "skip" ? "left out" : "counted as 0";
    notes.push(`${withoutResults.toLocaleString("en-US")} judged ones without results ${how}`);
  }
  if (unjudged > 0) notes.push(`${unjudged.toLocaleString("en-US")} of the run's without judgement left out`);
  process.stdout.write(`${lines.join("\n")}\n(${notes.join("; ")})\n`);
}

function shown(value: number | undefined): string {
  if (value === undefined) return "-";
  return Number.isInteger(value) && Math.abs(value) > 1 ? String(value) : value.toFixed(4);
}
