/** What ranks compute on: refuses more ranks than GPUs, and hides GPUs where the CPU is asked for. */
import { QuarryError } from "../errors.js";
import { countGpus, withGpus } from "../pool/gpus.js";
import type { PythonEnvironment } from "../python/environment.js";
import type { TrainJob } from "./job.js";

/**
 * Two ranks on one GPU would make NCCL fail, start after start.
 *
 * @throws QuarryError CONFIG when this machine has fewer GPUs than ranks.
 */
export async function checkDevices({ ranks: all, nodes, device, python }: TrainJob): Promise<void> {
  const ranks = all / (nodes?.count ?? 1);
  if (ranks === 1 || device === "cpu") return;
  const gpus = await countGpus(python);
  if (gpus === 0 || ranks <= gpus) return;
  throw new QuarryError(
    "CONFIG",
    `train.ranks is ${ranks}, but there ${gpus === 1 ? "is 1 GPU" : `are ${gpus} GPUs`}.`,
    {
      hint: `Set train.ranks to ${gpus} or less, or workers.device to cpu.`,
    },
  );
}

/** The environment of the ranks: without a GPU in sight, torch and gloo stay on the CPU. */
export function pythonOf({ python, device }: Pick<TrainJob, "python" | "device">): PythonEnvironment {
  return device === "cpu" ? withGpus(python, []) : python;
}
