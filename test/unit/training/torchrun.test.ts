/** What torchrun prints, sorted by rank, and what a death is called. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { canFork } from "../../../src/pool/launch/fork-server.js";
import { parseDeath, parseLine, startTorchrun, type TorchrunProcess } from "../../../src/pool/launch/torchrun.js";
import { deathError, describeDeath, describeExit, startError } from "../../../src/training/death.js";

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

test("what the runtime told before any rank was there is the job's error", () => {
  const exit = { exitCode: 4, signal: null, how: "ended with status 4", lastLines: ["  frame", "E: x"] };
  const told = { ...exit, lastLines: [...exit.lastLines, "ENVIRONMENT: no torch", "  Unset TORCH_LOGS."] };
  expect(startError(told, "torchrun ended.", "/run/logs")).toMatchObject({
    ...{ code: "ENVIRONMENT", message: "no torch", hint: "Unset TORCH_LOGS." },
  });
  expect(startError(exit, "torchrun ended.", "/run/logs")).toMatchObject({
    ...{ code: "WORKER", message: "Training could not start: torchrun ended.", hint: "See /run/logs." },
  });
});

test("the job's error names the logs and that the same command goes on", () => {
  expect(deathError("Rank 0 (process 5) was killed by SIGKILL.", 3, "/run/logs")).toMatchObject({
    code: "WORKER",
    message: "Training could not go on. Rank 0 (process 5) was killed by SIGKILL. It was started again 3 times before.",
    hint: expect.stringContaining("/run/logs/rank-*.log"),
  });
});

test.skipIf(!canFork)(
  "the agent of this machine is told what the ranks compute on, as those of others are",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "quarry-test-torchrun-"));
    try {
      // In the place of the server that forks the agent: it keeps what is asked for.
      const executable = join(folder, "python");
      const lines = [`head -n 1 > ${folder}/asked`, `echo '{"refused": 0, "why": "seen"}'`, "read end"];
      writeFileSync(executable, ["#!/bin/sh", ...lines, ""].join("\n"), { mode: 0o700 });
      const python = { executable, env: { PATH: process.env["PATH"] ?? "" } };
      const sizes = { ranks: 1, maxRestarts: 0, threads: 1, device: "cpu" } as const;
      const launched = await startTorchrun({ python, ticketPath: join(folder, "t"), logDir: folder, ...sizes });
      expect((await launched.exited).how).toBe("could not be started (seen)");
      const { argv } = JSON.parse(readFileSync(join(folder, "asked"), "utf8")) as { argv: string[] };
      expect(argv.slice(argv.indexOf("--device"))).toEqual(["--device", "cpu"]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
