/** The section of the documentation that a benchmark writes. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Measured,
  type PartRecord,
  readRecord,
  type Section,
  toMarkdown,
  writeRecord,
  writeSection,
} from "../../../scripts/bench/shared/record.js";

const section: Section = {
  command: "bench:search",
  heading: "Encoding and search",
  titles: { topk: "Top-k alone, given scores", score: "Scoring" },
};
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-record-"));
});
afterAll(async () => rm(folder, { recursive: true }));

const part = (overrides: Partial<PartRecord> = {}): PartRecord => ({
  figures: [{ part: "topk", what: "update", measured: "0.93 | 12 ms", reach: "≤ 1.1", isOk: true }],
  numbers: [],
  quick: false,
  threads: 2,
  device: "cpu",
  seconds: 61.2,
  machine: "2 cores of a processor, 25 GB",
  load: 0.1,
  ...overrides,
});

test("a part becomes a heading, what it was measured on, and a table", () => {
  expect(toMarkdown(section, { topk: part() })).toMatchInlineSnapshot(`
    "### Top-k alone, given scores (\`npm run bench:search -- --only topk\`)

    2 cores of a processor, 25 GB, cpu, 2 threads; 61 s.

    | what | measured | to reach | |
    | --- | --- | --- | --- |
    | update | 0.93 \\| 12 ms | ≤ 1.1 | ok |
    "
  `);
});

test("a loaded machine, small sizes and what was not reached are told", () => {
  const missed = { part: "topk", what: "update", measured: "1.3", reach: "≤ 1.1", isOk: false };
  const text = toMarkdown(section, { topk: part({ load: 3.2, quick: true, figures: [missed] }) });
  expect(text).toContain("small sizes (`--quick`)");
  expect(text).toContain("loaded machine (load 3.2 at the start): an order only");
  expect(text).toContain("| update | 1.3 | ≤ 1.1 | **not** |");
});

test("the section is added to a page once, and replaced from then on", async () => {
  const page = join(folder, "page.md");
  await writeFile(page, "# Page\n\nBefore.\n");
  await writeSection(page, section, { topk: part() });
  await writeFile(page, `${await readFile(page, "utf8")}\nAfter.\n`);
  await writeSection(page, section, { topk: part({ seconds: 99 }), score: part() });
  const text = await readFile(page, "utf8");
  expect(text.match(/## Encoding and search/g)).toHaveLength(1);
  expect(text).toContain("99 s.");
  // The first part was replaced, the second one has 61 s.
  expect(text.match(/; 61 s\./g)).toHaveLength(1);
  expect(text).toMatch(/^# Page\n\nBefore\.\n/);
  expect(text).toMatch(/\nAfter\.\n$/);
});

test("sections of several benchmarks stand on one page", async () => {
  const page = join(folder, "both.md");
  await writeFile(page, "# Page\n");
  const other: Section = { command: "bench:train", heading: "Training", titles: { topk: "Steps" } };
  for (const each of [section, other, section]) await writeSection(page, each, { topk: part() });
  const text = await readFile(page, "utf8");
  expect(text.match(/^##+ .*/gm)).toEqual([
    "## Encoding and search (`npm run bench:search`)",
    "### Top-k alone, given scores (`npm run bench:search -- --only topk`)",
    "## Training (`npm run bench:train`)",
    "### Steps (`npm run bench:train -- --only topk`)",
  ]);
});

test("no file is an empty record; what was written is read again", async () => {
  const path = join(folder, "deep/record.json");
  expect(await readRecord(path)).toEqual({});
  const record: Measured = { topk: part() };
  await writeRecord(path, record);
  expect(await readRecord(path)).toEqual(record);
});
