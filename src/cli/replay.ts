/** `quarry replay`: the batch of a training step of a run folder as it was, and on request its loss once more. */
import { Command } from "commander";
import { EXIT_STATUS } from "../errors.js";
import type { ReplayedStep } from "../index.js";
import { unfitFlag } from "./failure.js";
import { print } from "./print.js";
import { withStop } from "./stoppable.js";

interface Flags {
  readonly step: string;
  readonly micro?: string;
  readonly loss?: boolean;
  readonly tolerance: string;
  readonly experiment?: string;
  readonly texts?: boolean;
  readonly json?: boolean;
  readonly debug?: boolean;
}

/** Makes the command; `setStatus` takes the exit status. */
export function replayCommand(setStatus: (status: number) => void): Command {
  return new Command("replay")
    .description("Rebuild the batch of a training step of a run folder, and its loss.")
    .argument("<runDir>", "folder of a run that trained")
    .requiredOption("--step <number>", "which step, counted from 1 as in train/steps.jsonl")
    .option("--micro <number>", "only this micro-step, from 0")
    .option("--loss", "train up to the step once more, elsewhere, and compare the loss")
    .option("--tolerance <number>", "largest difference of the losses that passes", "1e-6")
    .option("--experiment <file>", "the script, where functions or moved files need it")
    .option("--texts", "print the texts, not only their ids and places")
    .option("--json", "write JSON, texts included")
    .option("--debug", "show the trace of an error")
    .addHelpText("after", footer)
    .action(async (runDir: string, flags: Flags) => setStatus(await replay(runDir, flags)));
}

const footer = `
The run folder is only read. Status 6: the batch or the loss is another one than
recorded. Losses agree to 1e-6 on a CPU with as many ranks as before.`;

async function replay(runDir: string, flags: Flags): Promise<number> {
  const step = wholeNumber("step", flags.step, 1);
  const micro = flags.micro === undefined ? null : wholeNumber("micro", flags.micro, 0);
  const tolerance = Number(flags.tolerance);
  if (!(tolerance >= 0)) throw unfitFlag("replay", "tolerance", "a number from 0 on", flags.tolerance);
  return withStop(flags.debug ?? false, async (signal) => {
    const { replayStep } = await import("../index.js");
    const { experiment, loss = false } = flags;
    const found = await replayStep(runDir, {
      ...{ step, loss, signal },
      ...(experiment === undefined ? {} : { experiment }),
    });
    const micros = found.microSteps.filter(({ microStep }) => micro === null || microStep === micro);
    if (micros.length === 0)
      throw unfitFlag("replay", "micro", `less than ${found.microSteps.length}`, `${flags.micro}`);
    const shown: ReplayedStep = { ...found, microSteps: micros };
    const isSameLoss = agrees(found, tolerance);
    const { describeReplay } = await import("./replay/describe.js");
    const options = { isSameLoss, tolerance, hasTexts: flags.texts ?? false };
    print(flags.json, { ...shown, isSameLoss }, () => describeReplay(shown, options));
    return found.isSameBatch === false || isSameLoss === false ? EXIT_STATUS.INTEGRITY : 0;
  });
}

/** Null where there is nothing to compare. */
function agrees({ loss, recorded }: ReplayedStep, tolerance: number): boolean | null {
  if (loss === null || recorded === null) return null;
  return Math.abs(loss.loss - recorded.loss) <= tolerance;
}

function wholeNumber(name: string, text: string, least: number): number {
  if (/^\d{1,15}$/.test(text) && Number(text) >= least) return Number(text);
  throw unfitFlag("replay", name, `a whole number from ${least} on`, text);
}
