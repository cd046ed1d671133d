/** How many workers there are, on which device, with how many threads: from the options and what the machine has. */
import { availableParallelism } from "node:os";
import type { WorkersConfig } from "../experiment/schema.js";

/** One place for a worker process. */
export interface Place {
  readonly name: string;
  readonly device: string;
  readonly threads: number;
}

/** Places for workers; with `auto` one for each GPU that may be used, and one for a device that is named. */
export function planPlaces(config: WorkersConfig, gpuCount: number, coreCount: number): Place[] {
  const isAnyGpu = config.device === "auto" || config.device === "cuda";
  const count = config.count === "auto" ? (isAnyGpu ? Math.max(1, gpuCount) : 1) : config.count;
  const threads = config.threads ?? Math.max(1, Math.floor(coreCount / Math.max(1, count)));
  return Array.from({ length: count }, (_, index) => ({
    name: `worker-${index}`,
    device: deviceOf(config.device, index, gpuCount),
    threads,
  }));
}

function deviceOf(device: string, index: number, gpuCount: number): string {
  if (device === "cuda") return `cuda:${gpuCount === 0 ? index : index % gpuCount}`;
  if (device !== "auto") return device;
  return gpuCount === 0 ? "cpu" : `cuda:${index % gpuCount}`;
}

/** Small batches stay in a CPU's caches; a GPU that gets them waits for the calls that start its kernels. */
export const BATCH_SIZES = { cpu: 16, gpu: 128 };

/** Texts in a forward pass where the user says nothing: the machine that the run began on decides for all its workers. */
export async function defaultBatchSize(
  { device, count }: Pick<WorkersConfig, "device" | "count">,
  countGpus: () => Promise<number>,
): Promise<number> {
  const isOnGpu = count !== 0 && device !== "cpu" && (device !== "auto" || (await countGpus()) > 0);
  return isOnGpu ? BATCH_SIZES.gpu : BATCH_SIZES.cpu;
}

/** Cores this process may use. */
export function coreCount(): number {
  return availableParallelism();
}

/** Libraries read these when they are imported, long before a worker could set its thread count itself. */
export function threadEnvironment(threads: number): Record<string, string> {
  return { OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) };
}
