/** What ranks compute on: more ranks than GPUs are refused. */
import { QuarryError } from "../errors.js";
import { countGpus } from "../pool/gpus.js";
import type { TrainJob } from "./job.js";

/**
 * Two ranks on one GPU would make NCCL fail, start after start.
 *
 * @throws QuarryError CONFIG when this machine has fewer GPUs than ranks.
 */
export async function checkDevices({
  ranks: all,
  nodes,
  device,
  python,
}: Pick<TrainJob, "ranks" | "nodes" | "device" | "python">): Promise<void> {
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
