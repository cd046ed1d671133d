/** Deaths while negatives are refreshed: every step has the batch and the loss of an undisturbed run. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, type Workplace } from "../e2e/harness.js";
import { refreshing, stepLines, switchEntries, trainAndListen } from "../integration/refresh-harness.js";

const script = fileURLToPath(new URL("refresh-orchestrator.ts", import.meta.url));
/** As refresh-orchestrator.ts has it. */
const REFRESH = { everySteps: 6, switchAfterSteps: 3 };
let place: Workplace;

beforeAll(async () => {
  place = await openWorkplace({ passages: 160, queries: 24, isEachDifferent: true });
});
afterAll(() => place.remove());

/** Trains in a process of its own, which dies at a moment. */
async function trainUntil(name: string, moment: string): Promise<void> {
  const { folder, model, collection } = place;
  const run = JSON.stringify({ place: { folder, model, collection }, name, moment });
  const { signal, stderr } = await execa(process.execPath, ["scripts/on-build.mjs", script], {
    reject: false,
    env: { QUARRY_TEST_RUN: run, HF_HUB_OFFLINE: "1", TMPDIR: folder },
  });
  expect(signal, stderr).toBe("SIGKILL");
}

test("killed while mining, with negatives durable, after the switch and later, a run has the losses of an undisturbed one", async () => {
  await trainAndListen(refreshing(place, "whole", REFRESH));
  for (const moment of ["mining", "mined", "switched", "later"]) await trainUntil("killed", moment);
  // As if the last death had come between the durable negatives and their announcement.
  const journal = join(place.folder, "runs/killed/journal.jsonl");
  const entries = (await readFile(journal, "utf8")).split("\n");
  const announced = entries.findLastIndex((line) => line.includes("negativesSwitched"));
  await writeFile(journal, entries.toSpliced(announced, 1).join("\n"));
  const manifests = await manifestsOf("killed");
  await trainAndListen(refreshing(place, "killed", REFRESH));

  const plain = (name: string) =>
    switchEntries(place, name).then((found) => found.map((entry) => ({ ...entry, time: 0 })));
  expect(await plain("killed")).toEqual(await plain("whole"));
  // What was durable was used, not mined again.
  expect((await manifestsOf("killed")).slice(0, manifests.length)).toEqual(manifests);
  const [whole, killed] = [await stepLines(place, "whole"), await stepLines(place, "killed")];
  for (const [at, { loss, ...line }] of whole.entries()) {
    const { loss: found, ...same } = killed[at] ?? { loss: Number.NaN };
    expect(Math.abs(found - loss), `step ${line.step}`).toBeLessThan(1e-6);
    expect(same).toMatchObject(pick(line));
  }
}, 600_000);

/** Learning rates and norms may differ in their last bits; batches and versions may not. */
function pick({ step, rows, maskedPositives, negatives }: Omit<Awaited<ReturnType<typeof stepLines>>[number], "loss">) {
  return { step, maskedPositives, negatives, ...(rows === undefined ? {} : { rows }) };
}

async function manifestsOf(name: string): Promise<string[]> {
  const versions = [1, 2].map((version) =>
    join(place.folder, "runs", name, `train/negatives/${version}/manifest.json`),
  );
  const found = await Promise.all(versions.map((path) => readFile(path, "utf8").catch(() => null)));
  return found.filter((text) => text !== null);
}
