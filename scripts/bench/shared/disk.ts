/** Files that are cold or warm, and processes whose disk is slowed down. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import koffi from "koffi";

/** blkio of cgroups of version 1, where limits count for whole disks. */
const CONTROLLER = "/sys/fs/cgroup/blkio";
const CGROUP = `${CONTROLLER}/quarry-bench-data`;
const POSIX_FADV_DONTNEED = 4;
const posixFadvise = koffi.load(null).func("int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)");

/** Takes the files of a folder out of the page cache, or reads them into it. */
export async function eachFile(folder: string, state: "cold" | "warm"): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = await open(join(entry.parentPath, entry.name));
    try {
      if (state === "warm") {
        const buffer = Buffer.allocUnsafe(8 << 20);
        while ((await file.read(buffer)).bytesRead > 0);
      } else {
        await file.sync();
        posixFadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);
      }
    } finally {
      await file.close();
    }
  }
}

/** "major:minor" of the whole disk that a folder lies on: limits count for disks, not for their partitions. */
export function diskOf(folder: string): string {
  const { dev } = statSync(folder);
  const own = `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`;
  const path = `/sys/dev/block/${own}`;
  try {
    statSync(`${path}/partition`);
  } catch {
    return own;
  }
  return readFileSync(`${path}/../dev`, "latin1").trim();
}

/** Whether this machine and user can slow a disk down. */
export function canThrottle(): boolean {
  return process.getuid?.() === 0 && existsSync(`${CONTROLLER}/cgroup.procs`);
}

/** A limit on what a group of processes reads. */
export interface Throttle {
  /** The command that runs another one, with all that it starts, under the limit. */
  wrap(command: string, args: readonly string[]): { readonly command: string; readonly args: readonly string[] };
  /** Ends the limit; its processes have to be gone. */
  close(): void;
}

/** Limits reading from the disk of a folder, in MB/s; needs root and blkio cgroups of version 1. */
export function openThrottle(folder: string, megabytesPerSecond: number): Throttle {
  mkdirSync(CGROUP, { recursive: true });
  writeFileSync(join(CGROUP, "blkio.throttle.read_bps_device"), `${diskOf(folder)} ${megabytesPerSecond * 1e6}`);
  return {
    wrap: (command, args) => ({
      command: "sh",
      args: ["-c", `echo $$ > ${CGROUP}/cgroup.procs && exec "$@"`, "sh", command, ...args],
    }),
    close: () => rmdirSync(CGROUP),
  };
}
