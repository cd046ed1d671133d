/** What of refreshed negatives lies on the disk: weights that mine, and negatives that count once they are whole. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { HeldCheckpoints } from "../../../../src/pipeline/refresh/held.js";
import { fingerprintOf, readMined, seal } from "../../../../src/pipeline/refresh/mined.js";

function newFolder(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), "quarry-refresh-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

test("held weights outlive their checkpoint, take no room, and leave the optimiser out", () => {
  const folder = newFolder({
    "train/checkpoint-6/model.safetensors": "weights",
    "train/checkpoint-6/1_Pooling/config.json": "{}",
    "train/checkpoint-6/optimizer.pt": "moments",
  });
  const held = new HeldCheckpoints(join(folder, "negatives"));
  expect(held.steps()).toEqual([]);
  const checkpoint = join(folder, "train/checkpoint-6");
  held.hold(6, checkpoint);
  held.hold(6, checkpoint);
  expect(statSync(join(held.path(6), "model.safetensors")).ino).toBe(
    statSync(join(checkpoint, "model.safetensors")).ino,
  );
  rmSync(checkpoint, { recursive: true });
  expect(readdirSync(held.path(6)).sort()).toEqual(["1_Pooling", "model.safetensors"]);
  expect(readFileSync(join(held.path(6), "1_Pooling/config.json"), "utf8")).toBe("{}");
  held.hold(12, held.path(6));
  // Half-made by a process that was killed: it does not count.
  mkdirSync(join(folder, "negatives/.checkpoint-18"));
  expect(held.steps()).toEqual([6, 12]);
  held.release(6);
  expect(held.steps()).toEqual([12]);
});

test("mined negatives count once their manifest is there, as long as they are what it says", async () => {
  const folder = newFolder({ "part-0/negatives.tsv": "q\tp\n" });
  const file = { part: 0, path: "part-0/negatives.tsv", lines: 1 };
  expect(await readMined(folder, 2, "key")).toBe(null);
  const facts = { version: 2, fromStep: 12, checkpoint: "checkpoint-12", key: "key", seconds: 3 };
  const mined = await seal(folder, facts, [file]);
  expect(await readMined(folder, 2, "key")).toEqual(mined);
  // Other options, data or seed; another version's folder.
  expect(await readMined(folder, 2, "other")).toBe(null);
  expect(await readMined(folder, 3, "key")).toBe(null);
  writeFileSync(join(folder, file.path), "q\tother\n");
  expect(await readMined(folder, 2, "key")).toBe(null);
  expect(fingerprintOf(await seal(folder, facts, [file]))).not.toBe(fingerprintOf(mined));
  rmSync(join(folder, file.path));
  expect(await readMined(folder, 2, "key")).toBe(null);
  expect(existsSync(join(folder, "manifest.json"))).toBe(true);
});
