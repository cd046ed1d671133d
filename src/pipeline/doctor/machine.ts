/** What this machine has: packages, GPUs, memory, disk. */
import { stat, statfs } from "node:fs/promises";
import { totalmem } from "node:os";
import { dirname } from "node:path";
import { counted } from "../../counted.js";
import type { Gpu } from "../../pool/gpus.js";
import type { PythonEnvironment } from "../../python/environment.js";
import { formatBytes } from "../../report/format.js";
import { type CheckStatus, check, type DoctorCheck } from "./types.js";

/** The memory that this process and those it starts may use. */
export interface Memory {
  readonly totalBytes: number;
  readonly availableBytes: number;
}

/** A container's limit counts where there is one. */
export function memoryOf(): Memory {
  const limit = process.constrainedMemory();
  const totalBytes = limit > 0 && limit < totalmem() ? limit : totalmem();
  return { totalBytes, availableBytes: Math.min(totalBytes, process.availableMemory()) };
}

/** Free bytes of the disk that a folder lies on, or would lie on; disks are told apart by `device`. */
export async function diskOf(folder: string): Promise<{ readonly device: number; readonly freeBytes: number }> {
  for (let path = folder; ; path = dirname(path)) {
    try {
      const [{ dev }, { bavail, bsize }] = await Promise.all([stat(path), statfs(path)]);
      return { device: dev, freeBytes: bavail * bsize };
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "ENOENT" || path === dirname(path)) throw thrown;
    }
  }
}

/** Packages and their versions. */
export function checkPackages(versions: Readonly<Record<string, string>>, python: PythonEnvironment): DoctorCheck {
  const main = ["python", "torch", "transformers", "accelerate"].map(
    (name) => `${name} ${versions[name] ?? "missing"}`,
  );
  const lacks = ["torch", "transformers"].filter((name) => versions[name] === undefined);
  if (lacks.length > 0)
    return check("machine", "Python", "refuse", `${python.executable} lacks ${lacks.join(", ")}`, {
      todo: "quarry setup",
    });
  return check("machine", "Python", "ok", main.join(", "), { facts: { versions } });
}

/** Devices: what the ranks will work on; `gpus` are those that may be used. */
export function checkDevices(gpus: readonly Gpu[], device: string, ranks: number | null, memory: Memory): DoctorCheck {
  const judged = (status: CheckStatus, seen: string, todo: string | null = null): DoctorCheck =>
    check("machine", "devices", status, seen, { todo, facts: { gpus, memory } });
  const free = `${formatBytes(memory.availableBytes)} of ${formatBytes(memory.totalBytes)} memory free`;
  if (gpus.length === 0) return judged("ok", `no GPU: the CPU is used; ${free}`);
  const kinds = [...new Set(gpus.map(kindOf))].join(", ");
  if (device === "cpu")
    return judged("note", `the CPU is used although there is ${kinds}; ${free}`, "Leave workers.device out to use it.");
  if (ranks !== null && ranks > gpus.length)
    return judged(
      "refuse",
      `${counted(ranks, "ranks")}, but ${counted(gpus.length, "GPUs")}`,
      `Set train.ranks to ${gpus.length} or less.`,
    );
  if (ranks !== null && ranks < gpus.length)
    return judged(
      "note",
      `${gpus.length} × ${kinds}, of which ${ranks} train`,
      `Set train.ranks to ${gpus.length} to use all; globalBatchSize must be a multiple of it.`,
    );
  return judged("ok", `${gpus.length} × ${kinds}; ${free}`);
}

function kindOf({ name, totalBytes }: Gpu): string {
  return totalBytes === null ? name : `${name} (${formatBytes(totalBytes)})`;
}

/** torchrun opens ports that anybody who reaches the machine can talk to. */
export function checkNetwork(ranks: number, nodes: number): DoctorCheck | null {
  if (ranks <= 1 && nodes === 0) return null;
  return check(
    "machine",
    "network",
    "note",
    "torchrun's own stores and its collectives listen on all addresses of the machine, without a password",
    { todo: "Train on a trusted network, or behind a firewall that lets nobody in but the ranks." },
  );
}
