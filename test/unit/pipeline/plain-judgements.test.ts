/** Judgements in other formats become TREC qrels, however many there are. */
import { readFile } from "node:fs/promises";
import { expect, onTestFinished, test, vi } from "vitest";
import { trecQrels } from "../../../src/pipeline/run-files.js";
import { newCollection } from "../data/collection.js";

/** V8 ends a map at 16,777,216 entries and a string at 512 MiB; here both are smaller. */
function lowerLimits(entries: number, characters: number): void {
  const { set } = Map.prototype;
  const { join } = Array.prototype;
  vi.spyOn(Map.prototype, "set").mockImplementation(function (this: Map<unknown, unknown>, key, value) {
    if (this.size >= entries) throw new RangeError("Map maximum size exceeded");
    return set.call(this, key, value);
  });
  vi.spyOn(Array.prototype, "join").mockImplementation(function (this: unknown[], separator) {
    const joined = join.call(this, separator);
    if (joined.length > characters) throw new RangeError("Invalid string length");
    return joined;
  });
  onTestFinished(() => void vi.restoreAllMocks());
}

test("in the order of the file, a pair that is judged again at its first place with its last grade", async () => {
  const place = newCollection();
  const rows = Array.from({ length: 45_000 }, (_, at) => [`q${at % 300}`, `d${at}`, at % 3] as const);
  const lines = [...rows, ["q0", "d0", 2] as const].map((row) => `${row.join("\t")}\n`);
  const path = place.write("qrels.tsv", `query-id\tcorpus-id\tscore\n${lines.join("")}`);
  const expected = rows
    .map(([query, passage, grade], at) => `${query} 0 ${passage} ${at === 0 ? 2 : grade}\n`)
    .join("");
  lowerLimits(1_000, 400_000);
  const copy = await trecQrels(path, place.dir, new AbortController().signal);
  vi.restoreAllMocks();
  expect(await readFile(copy, "utf8")).toBe(expected);
});
