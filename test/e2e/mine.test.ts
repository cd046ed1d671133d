/** `quarry mine` with a tiny model: rules, report, what a resume does. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, type Workplace } from "./harness.js";

let place: Workplace;

beforeAll(async () => {
  place = await openWorkplace({ passages: 160, queries: 24 });
}, 240_000);
afterAll(() => place.remove());

/** Mines with these options into runs/<name>. */
async function mine(name: string, options: string): ReturnType<Workplace["quarry"]> {
  await place.experiment(
    `
    name: ${JSON.stringify(name)},
    model: biEncoder(${JSON.stringify(place.model)}),
    mine: {
      data: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }),
      topK: 40,
      ${options}
    },
    workers: { count: 1, unitSize: 64 },`,
    name,
  );
  return place.quarry("mine", `${name}.ts`);
}

async function read(name: string, file: string): Promise<string> {
  return readFile(join(place.folder, "runs", name, "mine-base", file), "utf8");
}

const rowsOf = (tsv: string): string[][] =>
  tsv
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.split("\t"));

test("names of other tools are taken, every query is mined for, and the report says which rule dropped how many", async () => {
  const result = await mine(
    "margins",
    `queries: "all", range_min: 1, num_negatives: 3, relative_margin: 0.01, sampling_strategy: "random",`,
  );
  expect(result.stderr).not.toContain("error");
  expect(result.exitCode, result.stderr).toBe(0);
  const negatives = rowsOf(await read("margins", "negatives.tsv"));
  const report = JSON.parse(await read("margins", "report.json"));
  expect(report.queries).toMatchObject({ count: 24, withoutPositives: 12 });
  expect(report.negatives).toBe(negatives.length);
  const dropped = Object.values(report.dropped as Record<string, number>).reduce((sum, count) => sum + count, 0);
  expect(dropped + report.notChosen + report.negatives).toBe(report.candidates);
  expect(result.stdout).toMatch(/candidates +960\ndropped: judged for the query +\d+\n/);
  // Queries without judgements have no positive to keep a distance from: all of them are served.
  const unjudged = negatives.filter(([query]) => Number(query?.slice(1)) % 2 === 1);
  expect(unjudged).toHaveLength(12 * 3);
}, 120_000);
