/** The command line as a whole: picks the command, takes overrides of options out, turns every failure into a status. */
import { readFileSync } from "node:fs";
import { type Argument, Command, CommanderError } from "commander";
import { QuarryError } from "../errors.js";
import { cacheCommand } from "./cache.js";
import { compareCommand } from "./compare.js";
import { dataCommand } from "./data.js";
import { doctorCommand } from "./doctor.js";
import { encodeCommand } from "./encode.js";
import { evaluateCommand } from "./evaluate.js";
import { exportCommand } from "./export.js";
import { reportFailure } from "./failure.js";
import { inspectCommand } from "./inspect.js";
import { joinCommand } from "./join.js";
import { measureCommand } from "./measure.js";
import { mineCommand } from "./mine.js";
import { replayCommand } from "./replay.js";
import { reportCommand } from "./report.js";
import { runCommand } from "./run.js";
import { searchCommand } from "./search.js";
import { setupCommand } from "./setup.js";
import { trackCommand } from "./track.js";
import { trainCommand } from "./train.js";
import { typesCommand } from "./types.js";
import type { OverrideFlags, VerbCommand } from "./verb.js";
import { drainCommand, workersCommand } from "./workers.js";

/**
 * Runs one command line.
 *
 * @param argv arguments behind `quarry`
 * @returns the exit status
 */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  const isDebug = argv.includes("--debug");
  let status = 0;
  const setStatus = (found: number): void => {
    status = found;
  };
  const verbs = [
    runCommand,
    trainCommand,
    evaluateCommand,
    mineCommand,
    encodeCommand,
    searchCommand,
    dataCommand,
    doctorCommand,
  ].map((make) => make(setStatus));
  const program = new Command("quarry")
    .description("Dense retrieval experiments: train, evaluate, mine hard negatives and encode.")
    .version(readVersion(), "-V, --version", "show the version")
    .helpCommand(false)
    .addHelpText("after", footer);
  for (const { command } of verbs) program.addCommand(command);
  program.addCommand(inspectCommand()).addCommand(typesCommand()).addCommand(setupCommand(setStatus));
  program.addCommand(measureCommand()).addCommand(compareCommand());
  program.addCommand(reportCommand()).addCommand(trackCommand(setStatus));
  program.addCommand(exportCommand(setStatus));
  program.addCommand(replayCommand(setStatus));
  program.addCommand(cacheCommand(setStatus));
  program.addCommand(joinCommand(setStatus));
  program.addCommand(workersCommand()).addCommand(drainCommand());
  for (const command of [program, ...program.commands]) {
    for (const each of [command, ...command.commands]) configure(each);
  }

  try {
    if (argv.length === 0) {
      program.outputHelp();
      return 0;
    }
    const verb = verbs.find(({ command }) => command.name() === argv[0]);
    const rest = verb === undefined ? argv : await takeOverrides(verb, argv);
    await program.parseAsync([...rest], { from: "user" });
    return status;
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      if (thrown.exitCode === 0) return 0;
      return reportFailure(inOurWords(thrown, program, argv[0]), isDebug);
    }
    return reportFailure(thrown, isDebug);
  }
}

const footer = `
Start with: quarry run experiment.ts
Any option of an experiment goes behind a verb: --train.args.maxSteps 100`;

/** Options of the experiment go to the verb; what is left is for the command itself. */
async function takeOverrides(verb: VerbCommand, argv: readonly string[]): Promise<readonly string[]> {
  if (argv.includes("--help") || argv.includes("-h")) {
    const { describeOptions } = await import("./most-used.js");
    if (verb.mostUsed.length > 0) verb.command.addHelpText("after", `\n${describeOptions(verb.mostUsed)}`);
    return argv;
  }
  const flags = new Map(verb.command.options.map((option) => [option.long ?? "", option.required || option.optional]));
  const { splitArguments } = await import("../experiment/overrides.js");
  const { rest, overrides } = splitArguments(argv.slice(1), flags, verb.command.registeredArguments.length);
  verb.command.setOptionValue("overrides" satisfies keyof OverrideFlags, overrides);
  return [argv[0] ?? "", ...rest];
}

/** What holds for every command. Commander writes errors and ends the process by itself; here both are ours. */
function configure(command: Command): void {
  command.exitOverride().configureOutput({ writeErr: () => {}, outputError: () => {} });
  command.helpOption("-h, --help", "show this help").configureHelp({
    helpWidth: 80,
    // `run <experiment>`: the same "[options]" behind every command says nothing.
    subcommandTerm: (sub) =>
      [sub.name(), ...sub.registeredArguments.map((argument) => humanReadable(argument))].join(" "),
  });
}

function humanReadable(argument: Argument): string {
  return argument.required ? `<${argument.name()}>` : `[${argument.name()}]`;
}

function inOurWords(error: CommanderError, program: Command, name: string | undefined): QuarryError {
  const isKnown = program.commands.some((command) => command.name() === name);
  const message = error.message.replace(/^error: /, "").replace(/\n?\(Did you mean (.*)\?\)/, "; did you mean $1?");
  return new QuarryError("CONFIG", message, { hint: isKnown ? `quarry ${name} --help` : "quarry --help" });
}

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return version;
}
