/** What the commands run, train, evaluate, mine, encode and search have in common: load, show, stop on request, end with a status. */
import { Command, Option } from "commander";
import type { Override } from "../experiment/overrides.js";
import type { Verb, VerbName } from "../pipeline/types.js";
import type { ReporterKind } from "../report/index.js";
import { reportFailure, unfitFlag } from "./failure.js";
import { EXIT_STATUS_OF, type StopSignal, watchSignals } from "./signals.js";

/** A command behind which options of the experiment may stand. */
export interface VerbCommand {
  readonly command: Command;
  /** Paths of options that its help shows. */
  readonly mostUsed: readonly string[];
}

/** What the program adds to such a command's flags: options of the experiment that it found among the arguments. */
export interface OverrideFlags {
  readonly overrides?: readonly Override[];
}

const kinds: readonly ReporterKind[] = ["auto", "dashboard", "plain", "json"];

interface Flags extends OverrideFlags {
  readonly reporter?: string;
  readonly debug?: boolean;
}

/** A short name on the command line for an option of the experiment. */
export interface Shorthand {
  /** As commander writes it, e.g. "--text <text>". */
  readonly flags: string;
  readonly description: string;
  readonly path: string;
  /** What the option is set to, where that is not the text itself; `before` is what it was set to by one further left. */
  readonly toValue?: (text: string, before: unknown) => object;
}

/** Makes a verb's command. */
export function verbCommand(
  name: VerbName,
  description: string,
  mostUsed: readonly string[],
  setStatus: (status: number) => void,
  shorthands: readonly Shorthand[] = [],
): VerbCommand {
  const command = new Command(name)
    .description(description)
    .argument("<experiment>", "script whose default export is defineExperiment({ … })")
    .usage("<experiment.ts> [--any.option value] [options]")
    .option("--reporter <kind>", `${kinds.join(", ")} (default: auto)`)
    .option("--debug", "show the trace of an error")
    .action(async (file: string, flags: Flags) => {
      const given: Override[] = shorthands.flatMap(({ flags: written, path }) => {
        const value = command.getOptionValue(new Option(written).attributeName()) as unknown;
        return value === undefined ? [] : [{ path, value }];
      });
      setStatus(await runVerb(name, file, flags, [...given, ...(flags.overrides ?? [])]));
    });
  for (const { flags, description: sentence, toValue } of shorthands) {
    if (toValue === undefined) command.option(flags, sentence);
    else command.option(flags, sentence, toValue);
  }
  return { command, mostUsed };
}

async function runVerb(name: VerbName, file: string, flags: Flags, overrides: readonly Override[]): Promise<number> {
  const kind = kinds.find((known) => known === (flags.reporter ?? "auto"));
  if (kind === undefined) throw unfitFlag(name, "reporter", `one of ${kinds.join(", ")}`, `${flags.reporter}`);
  const { attachReporter, EventStream, loadExperiment, ...verbs } = await import("../index.js");
  const experiment = await loadExperiment(file, overrides);
  const verb: Verb = verbs[name];

  const events = new EventStream();
  const controller = new AbortController();
  const stoppedBy: { signal: StopSignal | null; words: string } = { signal: null, words: "" };
  const signals = watchSignals((signal) => {
    stoppedBy.signal = signal;
    stoppedBy.words ||= `stopped by ${signal}`;
    controller.abort();
    const message = `${signal}: finishing what is in hand and saving; once more stops at once`;
    events.emit({ type: "warning", message, hint: null });
  });
  // The error that ends the command is told once, below; only whoever reads JSON needs it as an event too.
  const shownEvents = new EventStream();
  events.subscribe((event) => {
    if (event.type !== "error" || kind === "json") shownEvents.emit(event);
  });
  const reporter = await attachReporter(shownEvents, {
    kind,
    onInterrupt: () => signals.raise("SIGINT"),
    onReaderGone: () => {
      stoppedBy.words ||= "stopped: nobody reads the output any more";
      signals.stop("SIGINT");
    },
  });
  let failure: { thrown: unknown } | null = null;
  try {
    await verb(experiment, { signal: controller.signal, events });
  } catch (thrown) {
    failure = { thrown };
  } finally {
    await reporter.close();
    signals.settle();
  }
  if (failure === null) return 0;
  const isDebug = flags.debug ?? false;
  if (stoppedBy.signal === null) return reportFailure(failure.thrown, isDebug);
  if (isDebug) reportFailure(failure.thrown, isDebug);
  else process.stderr.write(`${stoppedBy.words}; the same command goes on from here\n`);
  return EXIT_STATUS_OF[stoppedBy.signal];
}
