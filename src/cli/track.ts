/** `quarry track`: the numbers of a run in an experiment tracker, also while it is at work. */
import { Command } from "commander";
import { counted } from "../counted.js";
import { print } from "./print.js";
import { withStop } from "./stoppable.js";

interface Flags {
  readonly with: string;
  readonly project?: string;
  readonly out?: string;
  readonly json?: boolean;
  readonly debug?: boolean;
}

/** Makes the command; `setStatus` takes the exit status. */
export function trackCommand(setStatus: (status: number) => void): Command {
  return new Command("track")
    .description("Hand a run's numbers to TensorBoard, W&B, MLflow or another tracker.")
    .argument("<runDir>", "folder of a run; one that is at work is followed to its end")
    .requiredOption("--with <tracker>", "tensorboard, wandb, mlflow, trackio, comet_ml, aim, …")
    .option("--project <name>", "what the tracker gathers runs under (default: the experiment's name)")
    .option("--out <folder>", "for trackers that write files (default: tracking, in the run's folder)")
    .option("--json", "write JSON: the last step, and the folder")
    .option("--debug", "show the trace of an error")
    .addHelpText("after", footer)
    .action(async (runDir: string, flags: Flags) => setStatus(await track(runDir, flags)));
}

const footer = `
The run itself knows nothing of it: start it, end it and start it again when you
like. Called again, it goes on with the run in TensorBoard, W&B and MLflow. The
tracker's package is yours to install, beside Quarry's Python.`;

async function track(runDir: string, { with: tracker, project, out, json, debug }: Flags): Promise<number> {
  return withStop(debug ?? false, async (signal) => {
    const { trackRun } = await import("../index.js");
    const where = { ...(project === undefined ? {} : { project }), ...(out === undefined ? {} : { out }) };
    const found = await trackRun(runDir, { with: tracker, signal, ...where });
    print(json, found, ({ steps }) => `${counted(steps, "steps")} handed to ${tracker}`);
    return 0;
  });
}
