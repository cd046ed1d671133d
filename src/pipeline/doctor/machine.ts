/** What this machine has: packages, GPUs, memory, disk. */
import { stat, statfs } from "node:fs/promises";
import { freemem, totalmem } from "node:os";
import { dirname } from "node:path";
import { execa } from "execa";
import type { PythonEnvironment } from "../../python/environment.js";
import { bytes } from "./amounts.js";
import { check, type DoctorCheck } from "./types.js";

/** A GPU as nvidia-smi names it. */
export interface Gpu {
  readonly name: string;
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/** The memory that this process and those it starts may use. */
export interface Memory {
  readonly totalBytes: number;
  readonly availableBytes: number;
}

/** What nvidia-smi says of each GPU; nothing where there is none. */
export async function listGpus(): Promise<Gpu[]> {
  const query = ["--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"];
  const listed = await execa("nvidia-smi", query, { reject: false, timeout: 10_000, stdin: "ignore" });
  if (listed.failed) return [];
  return listed.stdout.split("\n").flatMap((line) => {
    const [name = "", total = "", free = ""] = line.split(",").map((cell) => cell.trim());
    return name === "" ? [] : [{ name, totalBytes: Number(total) * 1048576, freeBytes: Number(free) * 1048576 }];
  });
}

/** A container's limit counts where there is one. */
export function memoryOf(): Memory {
  const limit = process.constrainedMemory();
  const totalBytes = limit > 0 && limit < totalmem() ? limit : totalmem();
  const available = typeof process.availableMemory === "function" ? process.availableMemory() : freemem();
  return { totalBytes, availableBytes: Math.min(totalBytes, available) };
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
    return check("machine", "Python", "refuse", `${python.executable} lacks ${lacks.join(", ")}`, "quarry setup");
  return check("machine", "Python", "ok", main.join(", "), null, { versions });
}

/** Devices: what the ranks will work on. */
export function checkDevices(gpus: readonly Gpu[], device: string, ranks: number | null, memory: Memory): DoctorCheck {
  const words = `${bytes(memory.availableBytes)} of ${bytes(memory.totalBytes)} memory free`;
  const kinds = [...new Set(gpus.map(({ name, totalBytes }) => `${name} (${bytes(totalBytes)})`))];
  const facts = { gpus, memory };
  if (device === "cpu" && gpus.length > 0)
    return check(
      ...(["machine", "devices", "note", `the CPU is used although there is ${kinds.join(", ")}; ${words}`] as const),
      "Leave workers.device out to use it.",
      facts,
    );
  if (gpus.length === 0) return check("machine", "devices", "ok", `no GPU: the CPU is used; ${words}`, null, facts);
  if (ranks !== null && ranks > gpus.length)
    return check(
      ...(["machine", "devices", "refuse", `${ranks} ranks, but ${gpus.length} GPU(s)`] as const),
      `Set train.ranks to ${gpus.length} or less.`,
      facts,
    );
  if (ranks !== null && ranks < gpus.length)
    return check(
      ...(["machine", "devices", "note", `${gpus.length} × ${kinds.join(", ")}, of which ${ranks} train`] as const),
      `Set train.ranks to ${gpus.length} to use all; globalBatchSize must be a multiple of it.`,
      facts,
    );
  return check("machine", "devices", "ok", `${gpus.length} × ${kinds.join(", ")}; ${words}`, null, facts);
}

/** torchrun opens ports that anybody who reaches the machine can talk to. */
export function checkNetwork(ranks: number, nodes: number): DoctorCheck | null {
  if (ranks <= 1 && nodes === 0) return null;
  return check(
    "machine",
    "network",
    "note",
    "torchrun's own stores and its collectives listen on all addresses of the machine, without a password",
    "Train on a trusted network, or behind a firewall that lets nobody in but the ranks.",
  );
}
