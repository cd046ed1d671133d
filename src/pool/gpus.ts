/** Which GPUs of this machine may be used: what CUDA_VISIBLE_DEVICES names, else what nvidia-smi lists, else none. */
import { execa } from "execa";
import { QuarryError } from "../errors.js";
import type { PythonEnvironment } from "../python/environment.js";

/** A GPU that processes may use. */
export interface Gpu {
  /** As CUDA_VISIBLE_DEVICES names it. */
  readonly id: string;
  readonly name: string;
  /** Null where nvidia-smi does not say: of a part of a GPU (MIG), or of memory that it shares with the CPU. */
  readonly totalBytes: number | null;
  readonly freeBytes: number | null;
}

/** A driver that loads itself for the first question takes some 10 s on a machine with eight GPUs. */
const PATIENCE_MS = 30_000;

interface Listed extends Omit<Gpu, "id"> {
  readonly index: string;
  readonly uuid: string;
}

/**
 * The GPUs that Python's processes may use, in torch's order: the first one is its cuda:0.
 *
 * @param warn hears why nvidia-smi, where there is one, could not list them
 */
export async function usableGpus({ env }: PythonEnvironment, warn?: (why: string) => void): Promise<Gpu[]> {
  const named = namedGpus(env["CUDA_VISIBLE_DEVICES"]);
  if (named?.length === 0) return [];
  const listed = await listGpus(env, named === null ? warn : undefined);
  const ids = named ?? listed.map(({ index }) => index);
  return ids.map((id) => {
    const found = listed.find(({ index, uuid }) => id === index || uuid.startsWith(id));
    const { name = `GPU ${id}`, totalBytes = null, freeBytes = null } = found ?? {};
    return { id, name, totalBytes, freeBytes };
  });
}

/** How many there are. */
export async function countGpus(python: PythonEnvironment, warn?: (why: string) => void): Promise<number> {
  // Asking takes a second where there are many, and a list needs no names to be counted.
  return namedGpus(python.env["CUDA_VISIBLE_DEVICES"])?.length ?? (await usableGpus(python, warn)).length;
}

/** The same interpreter for processes that see these GPUs only, on which torch then computes. */
export function withGpus(python: PythonEnvironment, ids: readonly string[]): PythonEnvironment {
  return { ...python, env: { ...python.env, CUDA_VISIBLE_DEVICES: ids.join(",") } };
}

/**
 * The same interpreter for processes that are to see one GPU only, where a device names one: the Nth that may be used.
 *
 * @param device as workers.device has it
 * @throws QuarryError CONFIG when there is no such GPU.
 */
export async function withNamedGpu(python: PythonEnvironment, device: string): Promise<PythonEnvironment> {
  if (!isOneGpu(device)) return python;
  const gpus = await usableGpus(python);
  const gpu = gpus[Number(device.slice("cuda:".length))];
  if (gpu !== undefined) return withGpus(python, [gpu.id]);
  throw new QuarryError(
    "CONFIG",
    `workers.device is ${device}, but ${gpus.length === 1 ? "1 GPU" : `${gpus.length} GPUs`} may be used.`,
    {
      hint: "Set workers.device to auto or cpu; N of cuda:N counts from 0, among what CUDA_VISIBLE_DEVICES names, else what nvidia-smi lists.",
    },
  );
}

/** Whether a device is a GPU that is named. */
export function isOneGpu(device: string): boolean {
  return /^cuda:\d+$/.test(device);
}

/** CUDA reads the list up to the first entry that is no device; -1 stands for none. Null where there is no list. */
function namedGpus(list: string | undefined): string[] | null {
  if (list === undefined) return null;
  const entries = list.split(",").map((entry) => entry.trim());
  const end = entries.findIndex((entry) => entry === "" || entry.startsWith("-"));
  return end === -1 ? entries : entries.slice(0, end);
}

/** All GPUs of the machine; nvidia-smi heeds no CUDA_VISIBLE_DEVICES. */
async function listGpus(env: PythonEnvironment["env"], warn?: (why: string) => void): Promise<Listed[]> {
  const query = ["--query-gpu=index,uuid,name,memory.total,memory.free", "--format=csv,noheader,nounits"];
  const asked = await execa("nvidia-smi", query, {
    env,
    extendEnv: false,
    reject: false,
    timeout: PATIENCE_MS,
    stdin: "ignore",
    stderr: "ignore",
  });
  if (asked.failed) {
    // Without the program there is no driver, which is no fault.
    if (asked.code !== "ENOENT") {
      const said = asked.stdout.trim().split("\n")[0] || asked.shortMessage;
      warn?.(`nvidia-smi fails, so no GPU is used: ${said}`);
    }
    return [];
  }
  return asked.stdout.split("\n").flatMap((line) => {
    const [index = "", uuid = "", name = "", total = "", free = ""] = line.split(",").map((cell) => cell.trim());
    if (!/^\d+$/.test(index)) return [];
    return [{ index, uuid, name, totalBytes: bytesOf(total), freeBytes: bytesOf(free) }];
  });
}

/** Of a number of MiB; null for "[N/A]". */
function bytesOf(mebibytes: string): number | null {
  return /^\d+$/.test(mebibytes) ? Number(mebibytes) * 2 ** 20 : null;
}
