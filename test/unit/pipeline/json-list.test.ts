/** Long lists of JSON are written in pieces, and nobody can tell it from the file. */
import { readdirSync, statSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeJsonList } from "../../../src/pipeline/json-list.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-json-list-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test("the bytes are those of JSON.stringify, wherever the pieces end", async () => {
  const path = join(folder, "list.json");
  const pieces = fc.record({ space: fc.constantFrom(0, 2), flushChars: fc.integer({ min: 1, max: 40 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.jsonValue(), { maxLength: 6 }), pieces, async (list, options) => {
      await writeJsonList(path, list, options);
      expect(await readFile(path, "utf8")).toBe(JSON.stringify(list, null, options.space));
    }),
    { numRuns: 40 },
  );
});

test("what was written is on the disk before the next element is asked for: a list may be longer than any string", async () => {
  const sizes: number[] = [];
  function* elements(): Generator<string> {
    for (const element of ["first", "second", "third"]) {
      sizes.push(readdirSync(folder).reduce((bytes, name) => bytes + statSync(join(folder, name)).size, 0));
      yield element;
    }
  }
  await writeJsonList(join(folder, "list.json"), elements(), { flushChars: 1 });
  expect(sizes).toEqual([0, '["first"'.length, '["first","second"'.length]);
});
