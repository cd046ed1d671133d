/** Folders of work in progress: named after the process that works there, so that others can tell when it is gone. */
import { createHash, randomBytes } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { processStat } from "../../process-stat.js";
import { systemCode } from "../failures.js";

const PREFIX = ".building-";
/** Where nothing else is known of a builder, it counts as gone when its folder was quiet for so long. */
const QUIET_MS = 24 * 3600 * 1000;

let own: string | null = null;

/**
 * A name that nobody else uses: `.building-<machine>-<process>-<start>-<random>`. The machine stands for one boot of
 * one kernel and one space of process numbers: a number means nothing in another container or on another host.
 */
export function buildingName(): string {
  own ??= `${machine()}-${process.pid}-${startOf(process.pid) ?? 0}`;
  return `${PREFIX}${own}-${randomBytes(8).toString("hex")}`;
}

/** Whether a name is that of a folder of work in progress, of this version or an earlier one. */
export function isBuildingName(name: string): boolean {
  return name.startsWith(PREFIX);
}

/**
 * Whether whoever worked there is gone: a process of this machine that has ended, or, for one that cannot be looked
 * at, a folder in which nothing was written for a day.
 */
export function isAbandoned(path: string, name: string): boolean {
  const [, where, pid, start] = /^\.building-([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{16}$/.exec(name) ?? [];
  if (where !== undefined && where === machine()) return startOf(Number(pid)) !== start;
  return Date.now() - lastWrite(path) > QUIET_MS;
}

/** Removes what builders that are gone left behind. */
export function sweep(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (!isBuildingName(name)) continue;
    const path = join(folder, name);
    try {
      if (isAbandoned(path, name)) rmSync(path, { recursive: true, force: true });
    } catch {
      // Another process removed it first, or it is somebody else's: whoever builds next tries again.
    }
  }
}

let ownMachine: string | null = null;

/** "" where the system does not tell: then only the age counts. */
function machine(): string {
  if (ownMachine === null) {
    try {
      const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
      const space = readlinkSync("/proc/self/ns/pid");
      ownMachine = createHash("sha256").update(`${boot}${space}`).digest("hex").slice(0, 8);
    } catch {
      ownMachine = "";
    }
  }
  return ownMachine;
}

/** When a running process started, or null when there is none. */
function startOf(pid: number): string | null {
  const stat = processStat(pid);
  return stat?.isRunning === true ? stat.startTicks : null;
}

/** A file that grows does not change its folder's time, so its own counts too. */
function lastWrite(path: string): number {
  const times = [lstatSync(path).mtimeMs];
  try {
    for (const name of readdirSync(path)) times.push(lstatSync(join(path, name)).mtimeMs);
  } catch (thrown) {
    if (systemCode(thrown) !== "ENOENT" && systemCode(thrown) !== "ENOTDIR") throw thrown;
  }
  return Math.max(...times);
}
