/** A durable write leaves the old file or the new one, whichever of its calls fails. */
import * as nodeFiles from "node:fs/promises";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { QuarryError } from "../../../src/errors.js";
import { type FileCalls, type OpenFile, temporarySuffix, writeFileDurably } from "../../../src/rundir/durable.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-durable-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

/** Real file calls, of which the n-th fails; a failing write leaves half of its bytes behind, as a full disk does. */
function failingAt(n: number, code: string): { files: FileCalls; calls: () => number } {
  let calls = 0;
  const fail = () => Object.assign(new Error(`${code}: injected`), { code });
  const step = async <T>(work: () => Promise<T>): Promise<T> => {
    calls += 1;
    if (calls === n) throw fail();
    return work();
  };
  const wrap = (handle: nodeFiles.FileHandle): OpenFile => ({
    writeFile: async (content) => {
      calls += 1;
      if (calls !== n) return handle.writeFile(content);
      await handle.writeFile(content.slice(0, content.length / 2));
      throw fail();
    },
    sync: () => step(() => handle.sync()),
    close: async () => {
      await handle.close();
      await step(async () => {});
    },
  });
  return {
    calls: () => calls,
    files: {
      mkdir: (path, options) => step(() => nodeFiles.mkdir(path, options)),
      open: (path, flags, mode) => step(async () => wrap(await nodeFiles.open(path, flags, mode))),
      rename: (from, to) => step(() => nodeFiles.rename(from, to)),
      unlink: (path) => step(() => nodeFiles.unlink(path)),
    },
  };
}

async function countCalls(): Promise<number> {
  const counting = failingAt(Number.POSITIVE_INFINITY, "");
  await writeFileDurably(join(folder, "counted", "file"), "text", counting.files);
  return counting.calls();
}

test.each(["ENOSPC", "EIO"])(
  "whichever call fails with %s, a reader finds the old file or the new one",
  async (code) => {
    const path = join(folder, "metrics.json");
    const total = await countCalls();
    expect(total).toBeGreaterThan(8);
    let failures = 0;
    for (let n = 1; n <= total; n++) {
      await writeFile(path, "old content");
      const thrown: unknown = await writeFileDurably(path, "new content", failingAt(n, code).files).catch((e) => e);
      expect(["old content", "new content"]).toContain(await readFile(path, "utf8"));
      expect((await readdir(folder)).filter((name) => name !== "counted")).toEqual(["metrics.json"]);
      if (thrown === undefined) continue;
      failures += 1;
      expect(thrown).toBeInstanceOf(QuarryError);
      expect(thrown).toMatchObject({ code: "ENVIRONMENT", message: expect.stringContaining(folder) });
    }
    expect(failures).toBeGreaterThanOrEqual(8);
  },
);

test("bytes are on the disk before they have a name, and the name before those of the folders made for it", async () => {
  const steps: string[] = [];
  const nameOf = (path: string) => (path.endsWith(temporarySuffix) ? "temporary file" : basename(path));
  const files: FileCalls = {
    ...{ mkdir: nodeFiles.mkdir, unlink: nodeFiles.unlink },
    open: async (path, flags, mode) => {
      const handle = await nodeFiles.open(path, flags, mode);
      const sync = () => {
        steps.push(`sync ${nameOf(path)}`);
        return handle.sync();
      };
      return { sync, writeFile: (content) => handle.writeFile(content), close: () => handle.close() };
    },
    rename: (from, to) => {
      steps.push(`rename ${nameOf(from)} to ${nameOf(to)}`);
      return nodeFiles.rename(from, to);
    },
  };
  await writeFileDurably(join(folder, "run", "logs", "file"), "text", files);
  expect(steps).toEqual([
    ...["sync temporary file", "rename temporary file to file"],
    ...["sync logs", "sync run", `sync ${basename(folder)}`],
  ]);
});

test("a new file in a new folder is absent or whole, whichever call fails", async () => {
  const total = await countCalls();
  for (let n = 1; n <= total; n++) {
    const path = join(folder, `run-${n}`, "a", "file");
    await writeFileDurably(path, "new content", failingAt(n, "ENOSPC").files).catch(() => {});
    const found = await readFile(path, "utf8").catch(() => null);
    expect([null, "new content"]).toContain(found);
  }
});

test("a full disk is named with its folder and a way out", async () => {
  const thrown = (await writeFileDurably(join(folder, "a.json"), "x", failingAt(3, "ENOSPC").files).catch(
    (e) => e,
  )) as QuarryError;
  expect(thrown.message).toBe(`No space left for ${folder}.`);
  expect(thrown.hint).toContain("resumes");
  expect(thrown.exitStatus).toBe(4);
});

test("bytes arrive as they are", async () => {
  const path = join(folder, "vectors.bin");
  const bytes = Uint8Array.from({ length: 100_000 }, (_, index) => index % 251);
  await writeFileDurably(path, bytes);
  expect(Buffer.compare(await readFile(path), bytes)).toBe(0);
});

test("a file written in pieces is whole or not there", async () => {
  const path = join(folder, "new", "run.trec");
  await writeFileDurably(path, async (file) => {
    await file.write("first");
    expect(await readdir(join(folder, "new"))).not.toContain("run.trec");
    await file.write("second");
  });
  expect(await readFile(path, "utf8")).toBe("firstsecond");
  const torn = writeFileDurably(path, async (file) => {
    await file.write("half");
    throw new Error("the source is damaged");
  });
  await expect(torn).rejects.toThrow("the source is damaged");
  expect(await readdir(join(folder, "new"))).toEqual(["run.trec"]);
  expect(await readFile(path, "utf8")).toBe("firstsecond");
});
