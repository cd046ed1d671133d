/** What a store calls durable is on the disk, in the order in which a power cut does no harm. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { anyFileHandle } from "../../fixtures/file-handle.js";
import { blockOf, keysOf, openStore } from "./stores.js";

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "quarry-store-"));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(cache, { recursive: true });
});

/** Notes what happens to files, in order; `seen` is noted with each. */
function watchFiles(seen: () => string = () => ""): string[] {
  const steps: string[] = [];
  const watch = (name: "write" | "appendFile" | "datasync" | "sync"): void => {
    const call = anyFileHandle[name] as (...args: unknown[]) => Promise<unknown>;
    vi.spyOn(anyFileHandle, name).mockImplementation(async function (this: FileHandle, ...args: unknown[]) {
      steps.push(`${name}${seen()}`);
      return call.apply(this, args) as never;
    });
  };
  for (const name of ["write", "appendFile", "datasync", "sync"] as const) watch(name);
  return steps;
}

const bytesOf = (texts: readonly number[]): Uint8Array => new Uint8Array(keysOf(texts).keys.buffer);

test("vectors are on the disk before the line that lists them, and the line before they count as durable", async () => {
  const store = await openStore(cache);
  const writer = store.writer();
  await writer.append(bytesOf([1]), blockOf([1], "float32"));
  const steps = watchFiles();
  await writer.append(bytesOf([2]), blockOf([2], "float32"));
  expect(steps).toEqual(["write", "datasync", "appendFile", "datasync"]);
  await writer.close();
  store.close();
});

test("a shard's vectors and keys are on the disk before it goes by its name", async () => {
  const store = await openStore(cache);
  const writer = store.writer();
  await writer.append(bytesOf([1]), blockOf([1], "float32"));
  const steps = watchFiles(() => (readdirSync(store.folder).some((name) => name.startsWith("shard-")) ? " late" : ""));
  await writer.close();
  expect(steps).toEqual(["write", "sync", "sync"]);
  expect(readdirSync(store.folder).filter((name) => name.startsWith("shard-"))).toHaveLength(1);
  store.close();
});
