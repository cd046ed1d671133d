/** Workers on machines that Slurm gives: srun hands its stdin to every task, sbatch gets a script with the ticket inside. */
import { randomBytes } from "node:crypto";
import type { SlurmNode } from "../../experiment/schema.js";
import { joinArguments, type LaunchSettings, type NodeLauncher, placeOf, quoted, startNode } from "./node.js";

/** One task's end, or one machine's, must not end the others; before the time is up workers are asked to leave. */
const STEP = ["--kill-on-bad-exit=0", "--wait=0", "--no-kill"];
const JOB = ["--signal=TERM@60"];
const MARK = "QUARRY_TICKET";

export function slurmLauncher(node: SlurmNode, settings: LaunchSettings): NodeLauncher {
  const label = `${node.via} for ${node.nodes} node${node.nodes === 1 ? "" : "s"}`;
  return { label, start: (ticket) => (node.via === "srun" ? srun : sbatch)(node, settings, ticket) };
}

function srun(node: SlurmNode, settings: LaunchSettings, ticket: string): ReturnType<typeof startNode> {
  const command = ["srun", "--job-name=quarry", ...JOB, ...STEP, ...size(node), ...node.args, ...task(node, settings)];
  return startNode(command, settings, { text: `${ticket}\n`, isAll: false });
}

/** `--wait` stays until the job is over, so that its end is seen; the job itself goes with it, by its name. */
function sbatch(node: SlurmNode, settings: LaunchSettings, ticket: string): ReturnType<typeof startNode> {
  const name = `quarry-${randomBytes(4).toString("hex")}`;
  const step = ["srun", ...STEP, ...task(node, settings)].map(quoted).join(" ");
  // Slurm keeps the script where root and its own user can read it, no other.
  const script = `#!/bin/sh\n${step} <<'${MARK}'\n${ticket}\n${MARK}\n`;
  const command = ["sbatch", "--wait", "--parsable", `--job-name=${name}`, ...JOB, ...size(node), ...node.args];
  return startNode(command, settings, { text: script, isAll: true }, name);
}

function size({ nodes, workersPerNode }: SlurmNode): string[] {
  return [`--nodes=${nodes}`, `--ntasks-per-node=${workersPerNode ?? 1}`];
}

function task(node: SlurmNode, settings: LaunchSettings): string[] {
  const { python, path } = placeOf(node, settings);
  // The environment travels with srun; the module path is said again, because it may be another one there.
  return ["env", `PYTHONPATH=${path}`, "PYTHONUNBUFFERED=1", python, ...(settings.arguments ?? joinArguments(node))];
}
