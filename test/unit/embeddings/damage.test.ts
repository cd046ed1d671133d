/** Whatever is killed, flipped or cut: the store gives the right vector or none, and says so. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BLOCKS, filled, flipBits, survivors, TEXTS } from "./damages.js";
import { abandon, abandonedName, copyFolder } from "./stores.js";

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "quarry-store-"));
});
afterEach(() => rmSync(cache, { recursive: true }));

test("a writer that was killed at any byte leaves the blocks that its journal lists, to the next one who opens", async () => {
  const { store, writer } = await filled(cache);
  const left = abandon(store);
  // What it worked on lies elsewhere by now: it only closes its files.
  await writer.close();
  store.close();
  const journal = readFileSync(join(left, "blocks.log"), "utf8");
  const data = readFileSync(join(left, "vectors.arrow"));
  rmSync(left, { recursive: true });
  const cases: [number, number][] = [];
  for (let length = 0; length <= journal.length; length += 3) cases.push([length, data.length]);
  for (let length = 0; length <= data.length; length += 97) cases.push([journal.length, length]);
  for (const [journalBytes, dataBytes] of cases) {
    const folder = join(store.folder, abandonedName());
    writeFolder(folder, { "blocks.log": journal.slice(0, journalBytes), "vectors.arrow": data.subarray(0, dataBytes) });
    const listed = journal.slice(0, journalBytes).split("\n").length - 1;
    const whole = BLOCKS.filter((_, at) => at < listed && dataBytes >= endOf(journal, at));
    expect(await survivors(cache), `${journalBytes} of the journal, ${dataBytes} of the data`).toEqual(whole.flat());
    expect(readdirSync(store.folder).filter((name) => name.startsWith(".building"))).toEqual([]);
    for (const name of readdirSync(store.folder)) {
      if (name.startsWith("shard-")) rmSync(join(store.folder, name), { recursive: true });
    }
  }
});

/** Where the block that a line of the journal lists ends: the next one begins there. */
function endOf(journal: string, line: number): number {
  const starts = journal
    .split("\n")
    .slice(0, -1)
    .map((each) => Number(each.split(" ")[0]));
  const [first = 0, second = 0] = starts;
  return (starts[line] as number) + (second - first);
}

test("every flipped bit is noticed, and the texts of its block are missing then", async () => {
  expect(await flipBits(cache, 135)).toBeGreaterThan(50);
});

test("every cut is noticed", async () => {
  const { store, writer } = await filled(cache);
  await writer.close();
  store.close();
  const [name] = readdirSync(store.folder).filter((each) => each.startsWith("shard-"));
  const sound = join(cache, "sound");
  copyFolder(join(store.folder, name as string), sound);
  for (const file of ["vectors.arrow", "keys.bin", "manifest.json"]) {
    const { size } = statSync(join(sound, file));
    for (let length = 0; length < size; length += Math.ceil(size / 12)) {
      rmSync(join(store.folder, name as string), { recursive: true, force: true });
      copyFolder(sound, join(store.folder, name as string));
      truncateSync(join(store.folder, name as string, file), length);
      const warnings: string[] = [];
      const left = await survivors(cache, warnings);
      // Keys stand in the blocks as well.
      expect(left.length, `${file}, ${length} bytes`).toBe(file === "keys.bin" ? TEXTS.length : 0);
      if (left.length === 0) expect(warnings.join()).toContain("encoded again");
    }
  }
});

function writeFolder(folder: string, files: Readonly<Record<string, string | Uint8Array>>): void {
  mkdirSync(folder);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
}
