/** Lines of a file that may be longer than any string. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { linesOf } from "../../../src/rundir/jsonl.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-lines-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function read(path: string, blockBytes?: number): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of linesOf(path, blockBytes)) lines.push(line);
  return lines;
}

test("lines and characters that lie across blocks are whole", async () => {
  const path = join(folder, "lines");
  const line = fc.string({ unit: fc.constantFrom("a", "é", "松", "🪨", "\r", "\u2028"), maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(fc.array(line), fc.integer({ min: 1, max: 9 }), async (lines, blockBytes) => {
      await writeFile(path, lines.map((each) => `${each}\n`).join(""));
      expect(await read(path, blockBytes)).toEqual(lines);
    }),
    { numRuns: 40 },
  );
});

test("a torn last line is handed on, a file that is not there has none", async () => {
  await writeFile(join(folder, "torn"), "one\n{tw");
  expect(await read(join(folder, "torn"))).toEqual(["one", "{tw"]);
  expect(await read(join(folder, "missing"))).toEqual([]);
});
