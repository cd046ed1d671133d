/** The GPU that a benchmark runs on, and how busy it is. */
import { execa } from "execa";
import type { PythonEnvironment } from "../../../src/python/environment.js";

/** Its name as torch tells it; empty where torch has none. */
export async function gpuName({ executable, env }: PythonEnvironment): Promise<string> {
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
