/** Folders of work in progress: named after the process that works there, so that others can tell when it is gone. */
import { randomBytes } from "node:crypto";
import { lstatSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { hasEnded, processMark } from "../../process-stat.js";
import { systemCode } from "../failures.js";

const PREFIX = ".building-";
/** Where nothing else is known of a builder, it counts as gone when its folder was quiet for so long. */
const QUIET_MS = 24 * 3600 * 1000;

/** A name that nobody else uses: `.building-<mark of this process>-<random>`. */
export function buildingName(): string {
  return `${PREFIX}${processMark()}-${randomBytes(8).toString("hex")}`;
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
  const [, mark = ""] = /^\.building-(.+)-[0-9a-f]{16}$/.exec(name) ?? [];
  const isGone = hasEnded(mark);
  if (isGone !== null) return isGone;
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
