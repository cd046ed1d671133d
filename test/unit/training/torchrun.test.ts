/** What torchrun prints, sorted by rank, and what a death is called. */
import { expect, test } from "vitest";
import type { TorchrunProcess } from "../../../src/pool/launch/torchrun.js";
import { parseDeath, parseLine } from "../../../src/pool/launch/torchrun.js";
import { deathError, describeDeath, describeExit } from "../../../src/training/death.js";

const FAILED =
  "E1122 19:24:33.306000 10119 torch/distributed/elastic/multiprocessing/api.py:1002] " +
  "failed (exitcode: -9) local_rank: 1 (pid: 10123) of binary: /env/bin/python";

const quiet: TorchrunProcess = {
  pid: 1,
  exited: new Promise(() => undefined),
  lastLinesOf: (rank) => (rank === 1 ? ["loading", "ImportError: no module named x", ""] : []),
  kill: () => undefined,
};

test("lines go to the rank that printed them, torchrun's own to torchrun", () => {
  expect(parseLine("[default12]:step 3")).toEqual({ rank: 12, text: "step 3" });
  expect(parseLine("[default0]:")).toEqual({ rank: 0, text: "" });
  expect(parseLine("W1122 Sending process 10122 closing signal SIGTERM")).toMatchObject({ rank: null });
});

test("torchrun's report of a dead rank is read", () => {
  expect(parseDeath(FAILED)).toEqual({ rank: 1, pid: 10123, exitCode: -9 });
  expect(parseDeath("Sending process 10122 closing signal SIGTERM")).toBeNull();
});

test("a death names the rank, the process, and the signal or the last thing it said", () => {
  expect(describeDeath({ rank: 1, pid: 10123, exitCode: -9 })).toBe("Rank 1 (process 10123) was killed by SIGKILL");
  const exit = { exitCode: 1, signal: null, how: "ended with status 1", lastLines: ["torchrun says"] };
  expect(describeExit(exit, { rank: 1, pid: 5, exitCode: 3 }, quiet)).toBe(
    "Rank 1 (process 5) ended with status 3: ImportError: no module named x.",
  );
  expect(describeExit(exit, null, quiet)).toBe("torchrun ended with status 1: torchrun says.");
  expect(describeExit({ ...exit, exitCode: null, signal: "SIGKILL", how: "killed by SIGKILL" }, null, quiet)).toBe(
    "torchrun was killed by SIGKILL.",
  );
});

test("the job's error names the logs and that the same command goes on", () => {
  expect(deathError("Rank 0 (process 5) was killed by SIGKILL.", 3, "/run/logs")).toMatchObject({
    code: "WORKER",
    message:
      "Training could not go on. Rank 0 (process 5) was killed by SIGKILL. It was started again 3 time(s) before.",
    hint: expect.stringContaining("/run/logs/rank-*.log"),
  });
});
