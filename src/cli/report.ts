/** `quarry report`: what run folders recorded, as a page to look at and to send to somebody. */
import { relative } from "node:path";
import { Command } from "commander";
import { print } from "./print.js";

interface Flags {
  readonly out?: string;
  readonly json?: boolean;
}

/** Makes the command. */
export function reportCommand(): Command {
  return new Command("report")
    .description("Write what runs recorded as one HTML page.")
    .argument("<runDirs...>", "folders of runs; several are shown beside each other")
    .option("--out <file>", "where to (default: report.html, in the folder of a single run)")
    .option("--json", "write JSON: where it is")
    .option("--debug", "show the trace of an error")
    .addHelpText("after", footer)
    .action(async (runDirs: string[], flags: Flags) => {
      const { writeReport } = await import("../index.js");
      const { path } = await writeReport(runDirs, flags.out === undefined ? {} : { out: flags.out });
      print(flags.json, { path }, () => relative(".", path) || path);
    });
}

const footer = `
Measures, curves, queries that changed, warnings, times, the experiment and where
its numbers come from; one file without scripts. Runs may be at work meanwhile.`;
