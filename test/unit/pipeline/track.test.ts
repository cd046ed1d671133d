/** What a tracker is told of a run, at work or over. */
import { appendFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Tail } from "../../../src/pipeline/report/tail.js";
import { follow } from "../../../src/pipeline/report/track.js";
import { openRunDir } from "../../../src/rundir/directory.js";

let folder: string;
let runDir: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-track-"));
  runDir = join(folder, "run");
  await (await openRunDir({ path: runDir, config: {} })).close();
  await mkdir(join(runDir, "train"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const trained = (...steps: number[]): Promise<void> =>
  appendFile(
    join(runDir, "train", "steps.jsonl"),
    steps.map((step) => `${JSON.stringify({ step, loss: step / 10, gradNorm: null, rows: "x" })}\n`).join(""),
  );
const evaluated = (step: number): Promise<void> =>
  appendFile(
    join(runDir, "events.jsonl"),
    `${JSON.stringify({ type: "evaluation", step, values: { "nDCG@10": step / 100 } })}\n`,
  );

async function told(isOver = (): boolean => false, during?: (round: number) => Promise<void>): Promise<unknown[]> {
  const lines: unknown[] = [];
  let round = 0;
  const seen = (): boolean => {
    round += 1;
    void during?.(round);
    return isOver();
  };
  for await (const line of follow(runDir, seen, 20)) lines.push(line);
  return lines;
}

test("a run that is over: steps in order, once each, evaluations with their steps, measures at the end", async () => {
  await trained(1, 2, 3, 2, 3, 4);
  await evaluated(4);
  await evaluated(2);
  await evaluated(2);
  await writeFile(
    join(runDir, "metrics.json"),
    JSON.stringify({ "evaluate-base": { "R@100": 0.5 }, "evaluate-checkpoint-4": { easy: { "R@100": 0.6 } } }),
  );
  expect(await told()).toEqual([
    { step: 1, values: { "train/loss": 0.1 } },
    { step: 2, values: { "train/loss": 0.2, "evaluation/nDCG@10": 0.02 } },
    { step: 3, values: { "train/loss": 0.3 } },
    { step: 4, values: { "train/loss": 0.4, "evaluation/nDCG@10": 0.04 } },
    { step: 4, values: { "evaluate-base/R@100": 0.5 } },
    { step: 4, values: { "evaluate-checkpoint-4/easy/R@100": 0.6 } },
  ]);
});

test("a run at work is followed to its end; what is measured late comes when it is known", async () => {
  const open = await openRunDir({ path: runDir, config: {} });
  await trained(1, 2);
  let late: Promise<void> | undefined;
  const lines = await told(undefined, async (round) => {
    if (round === 2) late = trained(3).then(() => evaluated(2));
    if (round === 5) await late?.then(() => open.close());
  });
  expect(lines).toHaveLength(4);
  expect(lines.slice(0, 2)).toEqual([
    { step: 1, values: { "train/loss": 0.1 } },
    { step: 2, values: { "train/loss": 0.2 } },
  ]);
  expect(lines).toContainEqual({ step: 3, values: { "train/loss": 0.3 } });
  expect(lines).toContainEqual({ step: 2, values: { "evaluation/nDCG@10": 0.02 } });
});

test("once nobody listens any more, a run at work is left alone", async () => {
  const open = await openRunDir({ path: runDir, config: {} });
  await trained(1);
  expect(await told(() => true)).toEqual([{ step: 1, values: { "train/loss": 0.1 } }]);
  await open.close();
});

test("a tail gives whole lines once, joins what came in pieces, and begins anew in a file that was written anew", async () => {
  const path = join(folder, "lines");
  const tail = new Tail(path);
  const fresh = async (): Promise<unknown[]> => {
    const found: unknown[] = [];
    for await (const line of tail.fresh()) found.push(line);
    return found;
  };
  expect(await fresh()).toEqual([]);
  await writeFile(path, '{"a":"ä"}\n{"a":');
  expect(await fresh()).toEqual([{ a: "ä" }]);
  await appendFile(path, "2}\nno JSON\n");
  expect(await fresh()).toEqual([{ a: 2 }]);
  await writeFile(path, '{"a":3}\n');
  expect(await fresh()).toEqual([{ a: 3 }]);
});
