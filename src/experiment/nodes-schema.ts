/** How workers on other machines are started: one schema for each kind of launcher. */
import { z } from "zod";
import { path, positive } from "./limits.js";

/** Goes in front of other arguments of a program: it must not be taken for one of its options. */
const notAnOption = z.string().regex(/^[^-\s]\S*$/, "no spaces, and no '-' in front");

/** What every launcher asks for. */
const shared = {
  python: path.optional().describe("Interpreter on the node; default: the path of this machine's."),
  directory: path
    .optional()
    .describe("Folder on the node that holds quarry_runtime (py_runtime of Quarry); default: this machine's path."),
  device: z.enum(["auto", "cpu", "cuda"]).default("auto").describe("What the node's workers compute on."),
  threads: positive.optional().describe("CPU threads of each worker; default: the node's cores shared equally."),
  address: notAnOption
    .optional()
    .describe("host:port by which the node reaches this machine, where it is not that of workers.listen."),
};

export const sshNodeSchema = z.strictObject({
  kind: z.literal("ssh").describe("Workers on a machine that ssh reaches without a question."),
  host: notAnOption.describe("Machine, as ssh takes it: name, user@name, or an entry of its configuration."),
  workers: positive.optional().describe("Worker processes; default: one per GPU, else one."),
  options: z.array(z.string()).default([]).describe('Further arguments of ssh, e.g. ["-p", "2222"].'),
  ...shared,
});

export const slurmNodeSchema = z.strictObject({
  kind: z.literal("slurm").describe("Workers on machines that Slurm gives."),
  via: z
    .enum(["srun", "sbatch"])
    .default("srun")
    .describe("srun starts in an allocation or waits for one; sbatch queues a job that joins when its turn comes."),
  nodes: positive.default(1).describe("How many machines."),
  workersPerNode: positive
    .optional()
    .describe("Tasks on each machine, a worker each; default: one task with a worker per GPU, else one."),
  args: z.array(z.string()).default([]).describe('Further arguments of srun or sbatch, e.g. ["--gpus-per-node=4"].'),
  ...shared,
});

export const torchrunNodeSchema = z.strictObject({
  kind: z.literal("torchrun").describe("Workers as the ranks of torchrun, which is started on this machine."),
  workersPerNode: positive.default(1).describe("Ranks of each node, a worker each."),
  args: z
    .array(z.string())
    .default([])
    .describe('Further arguments of torchrun, e.g. ["--nnodes=2", "--rdzv-endpoint=10.0.0.5:29500"].'),
  ...shared,
});

export const manualNodeSchema = z.strictObject({
  kind: z.literal("manual").describe("Tells how to get a command that is pasted on any machine."),
});

export const nodeSchema = z.discriminatedUnion("kind", [
  sshNodeSchema,
  slurmNodeSchema,
  torchrunNodeSchema,
  manualNodeSchema,
]);

const place = { python: shared.python, directory: shared.directory };

export const trainSshNodeSchema = z.strictObject({
  kind: z.literal("ssh").describe("A machine that ssh reaches without a question."),
  host: sshNodeSchema.shape.host,
  options: sshNodeSchema.shape.options,
  ...place,
});

export const trainSlurmNodeSchema = z.strictObject({
  kind: z.literal("slurm").describe("Machines that Slurm gives."),
  via: z
    .enum(["srun", "sbatch"])
    .default("srun")
    .describe("srun starts in an allocation or waits for one; sbatch queues a job, for which training waits."),
  nodes: slurmNodeSchema.shape.nodes,
  args: slurmNodeSchema.shape.args,
  ...place,
});

export const trainManualNodeSchema = z.strictObject({
  kind: z.literal("manual").describe("A machine on which somebody pastes the command that training tells."),
});

/** A machine that trains along; the orchestrator's own always does. */
export const trainNodeSchema = z.discriminatedUnion("kind", [
  trainSshNodeSchema,
  trainSlurmNodeSchema,
  trainManualNodeSchema,
]);

export type NodeConfig = z.output<typeof nodeSchema>;
export type SshNode = z.output<typeof sshNodeSchema>;
export type SlurmNode = z.output<typeof slurmNodeSchema>;
export type TorchrunNode = z.output<typeof torchrunNodeSchema>;
