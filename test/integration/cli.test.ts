/** The command line as a process of its own: what it prints, how it ends, and how it stops. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findProcesses } from "../e2e/harness.js";
import { writeCollection } from "../fixtures/collection.js";
import { commandLine } from "../fixtures/command-line.js";
import { writeTinyModel } from "../fixtures/tiny-model.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const main = join(root, "dist/cli/main.js");

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-cli-"));
  await writeTinyModel(join(folder, "model"));
  await writeCollection(join(folder, "collection"), { passages: 96, queries: 12 });
  await writeFile(
    join(folder, "experiment.ts"),
    `import { biEncoder, defineExperiment, source } from "quarry";
     export default defineExperiment({
       name: "tiny",
       model: biEncoder("./model"),
       evaluate: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }), measures: ["ndcg@10"] },
       workers: { threads: 1, unitSize: 16 },
     });`,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function start(...argv: string[]) {
  const env = { CI: "true", HF_HUB_OFFLINE: "1", QUARRY_CACHE: join(folder, "cache") };
  return execa(process.execPath, [main, ...argv], { cwd: folder, reject: false, env });
}

/** Processes of the runtime whose working folder is this test's: workers inherit it. */
const noneLeft = () => expect.poll(() => findProcesses("quarry_runtime", folder), { timeout: 60_000 }).toEqual([]);

describe("quarry evaluate", () => {
  test("runs a user's TypeScript, puts options of the command line in, and writes what they say", async () => {
    const { exitCode, stdout, stderr } = await start(
      "evaluate",
      "experiment.ts",
      "--run-dir",
      "here",
      "--evaluate.measures",
      "recall@5,mrr@10",
    );
    expect(stderr).toBe("");
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`run folder: ${join(folder, "here")}`);
    const resolved = JSON.parse(await readFile(join(folder, "here/experiment.json"), "utf8")) as {
      evaluate: { measures: string[] };
    };
    expect(resolved.evaluate.measures).toEqual(["R@5", "RR@10"]);
  });

  test("ends with status 2, one error and one hint for what is wrong, before anything starts", async () => {
    const cases = [
      [["--evaluate.mesures", "R@5"], "error: --evaluate.mesures: unknown option; did you mean --evaluate.measures?\n"],
      [
        ["--seed", "x"],
        'error: seed: expected a whole number of at least 0 and of at most 4294967295, saw the text "x"\n',
      ],
      [
        ["--evaluate.data.qrels", "no.tsv"],
        `error: evaluate.data.qrels: there is no "no.tsv" (looked for ${join(folder, "no.tsv")})\n`,
      ],
      [
        ["--model.checkpoint", "./absent"],
        `error: model.checkpoint: there is no "./absent" (looked for ${join(folder, "absent")})\n`,
      ],
    ] as const;
    for (const [options, message] of cases) {
      const argv = ["evaluate", "experiment.ts", "--runDir", "nothing", ...options];
      const { exitCode, stdout, stderr } = await commandLine(argv, { cwd: folder });
      expect({ exitCode, stdout, stderr: `${stderr}\n` }).toEqual({
        exitCode: 2,
        stdout: "",
        stderr: expect.stringContaining(message),
      });
      expect(stderr).toMatch(/\nhint: .+$/);
    }
    await expect(readFile(join(folder, "nothing/experiment.json"))).rejects.toThrow("ENOENT");
  });

  test("shows no stack of a broken script unless --debug asks for it", async () => {
    await writeFile(join(folder, "broken.ts"), "const a = 1;\nexport default a.b.c;\n");
    const quiet = await start("evaluate", "broken.ts");
    expect(quiet.stderr).toMatch(/^error: broken\.ts:2: Cannot read properties of undefined \(reading 'c'\)\nhint: /);
    expect(quiet.stderr).not.toMatch(/^\s+at /m);
    const loud = await start("evaluate", "broken.ts", "--debug");
    expect(loud.stderr).toMatch(/^\s+at .*broken\.ts:2/m);
  });
});

describe("a process that cannot work where it was started is told what to change there", () => {
  /** The command line below a line of a shell script. */
  async function startIn(line: string, ...argv: string[]): Promise<string> {
    const env = { CI: "true", HF_HUB_OFFLINE: "1", QUARRY_CACHE: join(folder, "cache-of-odd-places") };
    const command = ["-c", `${line}; exec "$@"`, "sh", process.execPath, main, ...argv];
    const { exitCode, stderr } = await execa("bash", command, { cwd: folder, reject: false, env });
    expect(exitCode).toBe(4);
    expect(stderr).toMatch(/^error: .+\nhint: .+$/);
    return stderr;
  }

  test("in a working folder that is gone", async () => {
    for (const script of ["../experiment.ts", join(folder, "experiment.ts")]) {
      const told = await startIn("mkdir gone && cd gone && rmdir ../gone", "evaluate", script);
      expect(told).toContain("The working folder is gone");
    }
  });

  test("below a limit on open files", async () => {
    // With 24 not all of the command itself can be loaded.
    for (const limit of [64, 24]) {
      expect(await startIn(`ulimit -n ${limit}`, "data", "check", "experiment.ts")).toContain("ulimit -n 4096");
    }
  });

  test("below a limit on the size of files", async () => {
    expect(await startIn("ulimit -f 1", "data", "check", "experiment.ts")).toContain("ulimit -f unlimited");
  });

  test("with a Python that does not start", async () => {
    const told = await startIn("export PYTHONHASHSEED=none", "evaluate", "experiment.ts", "--runDir", "unstarted");
    expect(told).toContain("PYTHONHASHSEED must be");
  });
});

describe("a request to stop", () => {
  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("by %s ends with status %i and leaves no process", async (signal, status) => {
    const child = start("evaluate", "experiment.ts", "--runDir", signal);
    child.stdout.on("data", (text) => String(text).includes("prepare data: done") && child.kill(signal));
    const { exitCode, stderr } = await child;
    expect(stderr).toContain(`stopped by ${signal}; the same command goes on from here`);
    expect(exitCode).toBe(status);
    await noneLeft();
  });

  test("by a reader that leaves is told as that, not as a signal", async () => {
    const command = `"${process.execPath}" "${main}" evaluate experiment.ts --runDir unread --reporter json | head -1`;
    const env = { CI: "true", HF_HUB_OFFLINE: "1", QUARRY_CACHE: join(folder, "cache") };
    const { stdout, stderr } = await execa("bash", ["-c", command], { cwd: folder, reject: false, env });
    expect(JSON.parse(stdout)).toMatchObject({ type: "runStarted" });
    expect(stderr).toBe("stopped: nobody reads the output any more; the same command goes on from here");
    await noneLeft();
  });

  test("is made good by the same command; SIGHUP makes none under nohup, which leaves such a standard input behind", async () => {
    const env = { CI: "true", HF_HUB_OFFLINE: "1", QUARRY_CACHE: join(folder, "cache") };
    const command = `exec "${process.execPath}" "${main}" evaluate experiment.ts --runDir SIGINT 0>/dev/null`;
    const child = execa("bash", ["-c", command], { cwd: folder, reject: false, env });
    let isSignalled = false;
    child.stdout.on("data", (text) => {
      if (String(text).includes("prepare data: done")) isSignalled = child.kill("SIGHUP");
    });
    const { exitCode, stdout } = await child;
    expect(exitCode).toBe(0);
    expect(isSignalled).toBe(true);
    expect(stdout).toContain("(resumed)");
    expect(stdout).toContain("nDCG@10");
  });

  test("made twice ends at once, and the workers end too", async () => {
    const child = start("evaluate", "experiment.ts", "--runDir", "twice");
    child.stdout.on("data", (text) => {
      if (!String(text).includes("prepare data: done")) return;
      child.kill("SIGINT");
      child.kill("SIGTERM");
    });
    const { exitCode } = await child;
    expect([130, 143]).toContain(exitCode);
    await noneLeft();
  });
});
