/** `quarry mine` with a tiny model: rules, report, what a resume does. */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, until, type Workplace } from "./harness.js";
import { askPeer } from "./peer.js";

let place: Workplace;

beforeAll(async () => {
  place = await openWorkplace({ passages: 160, queries: 24 });
});
afterAll(() => place.remove());

/** Mines with these options into runs/<name>. */
async function mine(name: string, options: string): ReturnType<Workplace["quarry"]> {
  await writeMine(name, options);
  return place.quarry("mine", `${name}.ts`);
}

/** Writes the script of an experiment that mines. */
async function writeMine(name: string, options: string): Promise<void> {
  await place.experiment(
    `
    name: ${JSON.stringify(name)},
    model: biEncoder(${JSON.stringify(place.model)}),
    mine: {
      data: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }),
      topK: 40,
      ${options}
    },
    workers: { count: 1, threads: 1, unitSize: 16 },`,
    name,
  );
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
});

test("three retrievers take turns: the model, another one, and somebody's run; who gave what is written", async () => {
  const run = Array.from({ length: 24 }, (_, query) =>
    Array.from(
      { length: 6 },
      (_, rank) => `q${query} Q0 p${(query * 5 + rank * 7) % 160} ${rank + 1} ${20 - rank} bm25`,
    ),
  );
  await writeFile(join(place.folder, "bm25.run"), `${run.flat().join("\n")}\n`);
  const options = `
    negativesPerQuery: 6,
    retrievers: [
      { name: "cls", model: biEncoder(${JSON.stringify(place.model)}, { pooling: "cls" }) },
      { name: "bm25", run: "bm25.run", topK: 4 },
    ],
    output: ["qrels", "tevatron"],`;
  const result = await mine("retrievers", options);
  expect(result.exitCode, result.stderr).toBe(0);
  const origins = rowsOf(await read("retrievers", "origins.tsv"));
  const given = origins.filter(([query]) => query === "q0").map(([, , retriever]) => retriever);
  expect(new Set(given)).toEqual(new Set(["base", "cls", "bm25"]));
  expect(rowsOf(await read("retrievers", "negatives.tsv")).map(([query, passage]) => [query, passage])).toEqual(
    origins.map(([query, passage]) => [query, passage]),
  );
  const report = JSON.parse(await read("retrievers", "report.json"));
  expect(report.retrievers.map(({ name }: { name: string }) => name)).toEqual(["base", "cls", "bm25"]);
  const [line] = (await read("retrievers", "negatives.tevatron.jsonl")).split("\n");
  expect(JSON.parse(line as string)).toMatchObject({ query_id: "q0", positive_passages: [{ docid: "p0" }, {}, {}] });

  const again = await place.quarry("mine", "retrievers.ts");
  expect(again.stdout).not.toContain("choose negatives");
  await writeFile(join(place.folder, "bm25.run"), `${run.flat().slice(1).join("\n")}\n`);
  const changed = await place.quarry("mine", "retrievers.ts");
  expect(changed.stdout).toContain("was done with other data");
  expect(changed.exitCode, changed.stderr).toBe(0);
});

test("mining from a run alone needs no model and starts no worker", async () => {
  const options = `includeModel: false, retrievers: [{ run: "bm25.run" }], negativesPerQuery: 3,
    filter: step({ name: "no-fives", fn: ({ passageId, passage }) => !passageId.endsWith("5") && passage.text !== "" }),`;
  const result = await mine("run-only", options);
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout).not.toContain("encode");
  const found = rowsOf(await read("run-only", "negatives.tsv"));
  expect(found.length).toBeGreaterThan(24);
  for (const [, passage] of found) expect(passage).not.toMatch(/5$/);
  expect(JSON.parse(await read("run-only", "report.json")).dropped.filter).toBeGreaterThan(0);
});

/** Does not end the search while there is a file. */
const STALLING = `
import time
from pathlib import Path

from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.registry import register_encoder


@register_encoder("stalling")
class Stalling(Encoder):
    batches = 0

    def forward(self, batch, side):
        self.batches += 1
        while self.batches > 30 and Path("stall").exists():
            time.sleep(0.05)
        return super().forward(batch, side)
`;

test("killed in the middle of a search, the same command goes on and mines what an undisturbed run mines", async () => {
  await writeFile(join(place.folder, "stalling.py"), STALLING);
  const model = `biEncoder(${JSON.stringify(place.model)}, { pooling: "cls", encoder: "stalling", plugins: ["stalling.py"] })`;
  const options = `negativesPerQuery: 4, sampling: "weighted", output: ["qrels", "triplet"], retrievers: [{ name: "cls", model: ${model} }],`;
  const more = ["--embeddings.store", "false", "--workers.unitSize", "4"];
  await writeMine("whole", options);
  const whole = await place.quarry("mine", "whole.ts", ...more);
  expect(whole.exitCode, whole.stderr).toBe(0);

  await writeMine("killed", options);
  await writeFile(join(place.folder, "stall"), "");
  const running = place.start("mine", "killed.ts", ...more);
  const snapshots = join(place.folder, "runs/killed/mine-base/retrievers/cls/snapshots");
  await until(
    async () => (await readdir(snapshots).catch(() => [])).length > 0,
    240_000,
    "a snapshot of the second model",
  );
  process.kill(-(running.pid as number), "SIGKILL");
  expect(await running).toMatchObject({ signal: "SIGKILL" });
  await rm(join(place.folder, "stall"));
  const again = await place.quarry("mine", "killed.ts", ...more);
  expect(again.exitCode, again.stderr).toBe(0);
  expect(again.stdout).toContain("(resumed)");
  for (const file of ["negatives.tsv", "negatives.triplet.jsonl", "origins.tsv"]) {
    expect(await read("killed", file), file).toBe(await read("whole", file));
  }
});

test("a cross-encoder denoises and labels; its scores are those that sentence-transformers gives", async () => {
  const cross = await place.crossEncoder();
  const encoder = `crossEncoder(${JSON.stringify(cross)}, { dtype: "float32" })`;
  const plain = await mine("labels", `scores: true, output: "triplet", rescore: { model: ${encoder} },`);
  expect(plain.exitCode, plain.stderr).toBe(0);
  const lines = (await read("labels", "negatives.triplet.jsonl")).trim().split("\n");
  const pairs = lines
    .slice(0, 20)
    .map((line) => JSON.parse(line) as { anchor: string; negative: string; scores: number[] });
  const script = `
from sentence_transformers import CrossEncoder
folder, pairs = given
model = CrossEncoder(folder, device="cpu")
scores = model.predict([(p["anchor"], p["negative"]) for p in pairs], show_progress_bar=False)
answer = [float(score) for score in scores]
`;
  const expected = await askPeer<number[]>(script, [cross, pairs]);
  for (const [at, { scores }] of pairs.entries())
    expect(Math.abs((scores[1] as number) - (expected[at] as number))).toBeLessThan(1e-4);

  const scores = lines.map((line) => (JSON.parse(line) as { scores: number[] }).scores[1] as number);
  const cut = scores.toSorted((one, two) => one - two)[Math.floor(scores.length / 2)] as number;
  const rules = `model: ${encoder}, maxScore: ${cut}, orderBy: "crossEncoder"`;
  const strict = await mine("denoised", `scores: true, output: "triplet", rescore: { ${rules} },`);
  expect(strict.exitCode, strict.stderr).toBe(0);
  // The pairs of the first run are known: no worker scores them again.
  expect(strict.stdout).not.toContain("score pairs");
  const kept = (await read("denoised", "negatives.triplet.jsonl")).trim().split("\n");
  for (const line of kept) expect((JSON.parse(line) as { scores: number[] }).scores[1]).toBeLessThanOrEqual(cut);
  const report = JSON.parse(await read("denoised", "report.json"));
  expect(report.dropped.rescoreMaxScore).toBeGreaterThan(0);
  expect(report.heldOut.tried).toBe(12);
});
