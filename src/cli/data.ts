/** `quarry data`: whether an experiment's data is sound, what it is made of, and what a training step's batch holds. */
import { Command } from "commander";
import { counted } from "../counted.js";
import { EXIT_STATUS, QuarryError } from "../errors.js";
import type { DataOptions } from "../index.js";
import { progressLine } from "./progress-line.js";
import { withStop } from "./stoppable.js";
import type { OverrideFlags, VerbCommand } from "./verb.js";

const actions = ["check", "stats", "show"] as const;
type Action = (typeof actions)[number];

interface Flags extends OverrideFlags {
  readonly step?: string;
  readonly full?: boolean;
  readonly json?: boolean;
  readonly debug?: boolean;
}

/** Makes the command; `setStatus` takes the exit status. */
export function dataCommand(setStatus: (status: number) => void): VerbCommand {
  const command = new Command("data")
    .description("Check an experiment's data, sum it up, show a step's batch.")
    .argument("<action>", "check, stats or show")
    .argument("<experiment>", "script whose default export is defineExperiment({ … })")
    .usage("<action> <experiment.ts> [--any.option value] [options]")
    .option("--step <number>", "of show: which training step, counted from 0 (default: 0)")
    .option("--full", "do not cut texts to the width of the terminal")
    .option("--json", "write JSON")
    .option("--debug", "show the trace of an error")
    .addHelpText("after", footer)
    .action(async (action: string, file: string, flags: Flags) => setStatus(await look(action, file, flags)));
  return { command, mostUsed: [] };
}

const footer = `
check  finds every fault with its file and line; status 3 when a run would stop
stats  counts each step of the algebra, labels, lengths of texts, groups, steps
show   prints a step's batch, each text with its file, line and judgement

Faults are judged by the experiment: --validation.duplicateIds warn`;

async function look(action: string, file: string, flags: Flags): Promise<number> {
  const known = actions.find((each) => each === action);
  if (known === undefined) {
    throw new QuarryError("CONFIG", `quarry data: expected one of ${actions.join(", ")}, saw ${action}`, {
      hint: `quarry data check ${file}`,
    });
  }
  const step = stepOf(known, flags);
  return withStop(flags.debug ?? false, async (signal) => {
    const { loadExperiment } = await import("../index.js");
    const experiment = await loadExperiment(file, flags.overrides);
    const progress = progressLine(readingWords);
    const options: DataOptions = {
      signal,
      onWarning: (message) => {
        // The first line has the count; check lists the places.
        if (known !== "check")
          process.stderr.write(`warning: ${message.split("\n")[0]?.replace(/(; the first \d+)?:$/, "")}\n`);
      },
      ...(progress === null ? {} : { onProgress: progress.show }),
    };
    const { text, status } = await print(known, experiment, step, flags, options).finally(() => progress?.clear());
    process.stdout.write(`${text}\n`);
    return status;
  });
}

async function print(
  action: Action,
  experiment: Parameters<typeof import("../index.js").checkData>[0],
  step: number,
  flags: Flags,
  options: DataOptions,
): Promise<{ readonly text: string; readonly status: number }> {
  const { checkData, dataStats, showStep } = await import("../index.js");
  const { layoutOf } = await import("./data/layout.js");
  // In a pipe a list of faults is read by a program or kept in a log: places must not be cut there.
  const isFull = flags.full ?? (action === "check" && process.stdout.isTTY !== true);
  const layout = layoutOf(process.stdout, isFull);
  const as = <Value extends object>(value: Value, describe: (value: Value) => string): string =>
    flags.json ? JSON.stringify(value, null, 2) : describe(value);
  if (action === "check") {
    const report = await checkData(experiment, options);
    const { describeCheck } = await import("./data/check.js");
    const text = as(report, (found) => describeCheck(experiment.config.name, found, layout));
    return { text, status: report.isSound ? 0 : EXIT_STATUS.DATA };
  }
  if (action === "stats") {
    const stats = await dataStats(experiment, options);
    const { describeStats } = await import("./data/stats.js");
    return { text: as(stats, (found) => describeStats(experiment.config.name, found, layout)), status: 0 };
  }
  const shown = await showStep(experiment, step, options);
  const { describeStep } = await import("./data/show.js");
  return { text: as(shown, (found) => describeStep(found, layout)), status: 0 };
}

function stepOf(action: Action, { step = "0" }: Flags): number {
  if (/^\d{1,15}$/.test(step)) return Number(step);
  throw new QuarryError("CONFIG", `--step: expected a whole number from 0 on, saw ${step}`, {
    hint: `quarry data ${action} experiment.ts --step 0`,
  });
}

function readingWords({
  label,
  lines,
  bytes,
  totalBytes,
}: Parameters<NonNullable<DataOptions["onProgress"]>>[0]): string {
  const share = totalBytes > 0 ? `, ${Math.floor((100 * bytes) / totalBytes)} %` : "";
  return `reading ${label}: ${counted(lines, "lines")}${share}`;
}
