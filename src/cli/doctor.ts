/** `quarry doctor`: whether an experiment is what it is meant to be and what it will cost, before any GPU is spent. */
import { Command } from "commander";
import { EXIT_STATUS } from "../errors.js";
import type { DoctorOptions } from "../index.js";
import { unfitFlag } from "./failure.js";
import { print } from "./print.js";
import { withStop } from "./stoppable.js";
import type { OverrideFlags, VerbCommand } from "./verb.js";

interface Flags extends OverrideFlags {
  readonly probe: string;
  readonly memory?: string;
  readonly disk?: string;
  readonly json?: boolean;
  readonly debug?: boolean;
}

/** Makes the command; `setStatus` takes the exit status. */
export function doctorCommand(setStatus: (status: number) => void): VerbCommand {
  const command = new Command("doctor")
    .description("Look at an experiment before it costs anything.")
    .argument("<experiment>", "script whose default export is defineExperiment({ … })")
    .usage("<experiment.ts> [--any.option value] [options]")
    .option("--probe <seconds>", "seconds of real training steps; 0 leaves them out", "20")
    .option("--memory <size>", "judge by this much memory, e.g. 24GB, not this machine's")
    .option("--disk <size>", "judge by this much free disk, not this machine's")
    .option("--json", "write JSON")
    .option("--debug", "show the trace of an error")
    .addHelpText("after", footer)
    .action(async (file: string, flags: Flags) => setStatus(await examine(file, flags)));
  return { command, mostUsed: [] };
}

const footer = `
Each check ends with ok, note (worth a look) or refuse (cannot run, or cannot be
what was meant) and says what to do. Status 2 when a check refuses.`;

async function examine(file: string, flags: Flags): Promise<number> {
  const probeSeconds = Number(flags.probe);
  if (!(probeSeconds >= 0 && probeSeconds <= 86_400 && flags.probe !== "")) {
    throw unfitFlag("doctor", "probe", "seconds, 0 to 86400", flags.probe);
  }
  const limits = {
    ...(flags.memory === undefined ? {} : { memoryBytes: sizeOf("memory", flags.memory) }),
    ...(flags.disk === undefined ? {} : { diskBytes: sizeOf("disk", flags.disk) }),
  };
  const isShown = process.stderr.isTTY;
  return withStop(flags.debug ?? false, async (signal) => {
    const { doctor, loadExperiment } = await import("../index.js");
    const experiment = await loadExperiment(file, flags.overrides);
    const onSection = (section: string): void => {
      if (isShown) process.stderr.write(`\r\x1b[Klooking at ${section} …`);
    };
    const onLog = (text: string): void => {
      if (flags.debug) process.stderr.write(text);
    };
    const options: DoctorOptions = { probeSeconds, signal, onSection, onLog, ...limits };
    const report = await doctor(experiment, options);
    if (isShown) process.stderr.write("\r\x1b[K");
    const { describeDoctor } = await import("./doctor/describe.js");
    print(flags.json, report, describeDoctor);
    return report.isFit ? 0 : EXIT_STATUS.CONFIG;
  });
}

const UNITS: Readonly<Record<string, number>> = { "": 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12 };

/** "24GB" → 24e9. */
function sizeOf(name: string, text: string): number {
  const [, number = "", unit = ""] = /^(\d+(?:\.\d+)?)\s*([kmgt]b)?$/i.exec(text) ?? [];
  const factor = UNITS[unit.toLowerCase()];
  if (number === "" || factor === undefined) throw unfitFlag("doctor", name, "a size such as 24GB", text);
  return Number(number) * factor;
}
