/** The GPU that a benchmark runs on, and how busy it is. */
import { execa } from "execa";
import type { Context } from "./context.js";

/**
 * Its name as torch tells it, and what torch calls it; null where torch has none.
 *
 * With --quick, whose sizes say little anyway, the processor stands in for it, so that a part is not run for the first
 * time where a GPU is paid for.
 */
export async function findGpu({ python, quick }: Context): Promise<{ name: string; device: string } | null> {
  const name = await gpuName(python);
  if (name !== "") return { name, device: "cuda" };
  return quick ? { name: "no GPU but this processor", device: "cpu" } : null;
}

async function gpuName({ executable, env }: Context["python"]): Promise<string> {
  const script = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')";
  const { stdout } = await execa(executable, ["-c", script], { env: { ...env }, extendEnv: false });
  return stdout.trim();
}

/** The driver's own count is over a sixth of a second to a second; asking more often would only repeat it. */
const EVERY_MS = 200;

/**
 * Does some work, and gives the percentage of its time in which the first GPU had a kernel at work, as nvidia-smi counts.
 *
 * @returns null where nvidia-smi is missing or said nothing
 */
export async function busyWhile<T>(work: () => Promise<T>): Promise<readonly [T, number | null]> {
  const asked = ["--id=0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", `--loop-ms=${EVERY_MS}`];
  const watcher = execa("nvidia-smi", asked, { reject: false, stdin: "ignore" });
  try {
    const done = await work();
    watcher.kill();
    const { stdout } = await watcher;
    const shares = (stdout ?? "").split("\n").map(Number.parseFloat).filter(Number.isFinite);
    return [done, shares.length === 0 ? null : shares.reduce((sum, share) => sum + share, 0) / shares.length];
  } finally {
    watcher.kill();
  }
}
