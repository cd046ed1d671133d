/** Logs of ranks: on a full disk they end early, and nobody waits for them. */
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { RankLogs } from "../../../src/pool/launch/rank-logs.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "quarry-test-logs-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("each rank has a file, which is whole once the logs are closed", async () => {
  const logs = new RankLogs(folder);
  for (let line = 0; line < 100; line += 1) logs.add(line % 2, `line ${line}`);
  logs.add(null, "from torchrun");
  await logs.close();
  expect(readFileSync(join(folder, "rank-1.log"), "utf8").split("\n").slice(-3)).toEqual(["line 97", "line 99", ""]);
  expect(readFileSync(join(folder, "torchrun.log"), "utf8")).toBe("from torchrun\n");
});

test.skipIf(process.platform !== "linux")("a full disk does not keep a training from its end", async () => {
  symlinkSync("/dev/full", join(folder, "rank-0.log"));
  const logs = new RankLogs(folder);
  logs.add(0, "the disk is full");
  // The stream finds that out and closes itself, long before anybody closes the logs.
  await delay(100);
  logs.add(0, "still told");
  logs.add(1, "another file");
  await logs.close();
  expect(logs.lastLines(0)).toEqual(["the disk is full", "still told"]);
});
