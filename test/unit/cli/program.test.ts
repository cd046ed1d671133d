/** The command line: help that fits a screen, clear refusals with exit status 2, and a start without heavy packages. */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { runCommandLine } from "../../../src/cli/program.js";

afterEach(() => vi.restoreAllMocks());

async function quarry(...argv: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const written = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    vi.spyOn(process[name], "write").mockImplementation((text) => {
      written[name] += String(text);
      return true;
    });
  }
  const status = await runCommandLine(argv);
  vi.restoreAllMocks();
  return { status, ...written };
}

test.each([
  [["inspect", "--timeout", "3000000"], "--timeout: expected a number above 0, at most 2000000, saw 3000000"],
  [["doctor", "no.ts", "--probe", "Infinity"], "--probe: expected seconds, 0 to 86400, saw Infinity"],
])("numbers beyond what a timer takes are refused: %j", async (argv, message) => {
  const { status, stderr } = await quarry(...argv);
  expect(stderr).toContain(message);
  expect(status).toBe(2);
});

describe("help", () => {
  test.each([
    ["--help"],
    ["run", "--help"],
    ["train", "--help"],
    ["evaluate", "--help"],
    ["mine", "--help"],
    ["encode", "-h"],
    ["search", "--help"],
    ["inspect", "--help"],
    ["types", "--help"],
    ["data", "--help"],
    ["setup", "--help"],
    ["measure", "--help"],
    ["compare", "--help"],
    ["doctor", "--help"],
    ["replay", "--help"],
  ])("fits 80 columns and 24 lines, the list of commands 40: quarry %s %s", async (...argv) => {
    const { status, stdout } = await quarry(...argv.filter(Boolean));
    const lines = stdout.trimEnd().split("\n");
    expect(status).toBe(0);
    expect(lines.length).toBeLessThanOrEqual(argv[0] === "--help" ? 40 : 24);
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
  });

  test("of a verb shows its options with the sentences of the schema and where the others are", async () => {
    const { stdout } = await quarry("run", "--help");
    expect(stdout).toContain("--train.args.learningRate   Peak learning rate of AdamW (0.00002)");
    expect(stdout).toContain("docs/options.md");
  });

  test("is what quarry alone shows", async () => {
    const { status, stdout } = await quarry();
    expect(status).toBe(0);
    expect(stdout).toContain("run <experiment>");
  });

  test("the version is the package's", async () => {
    const { version } = JSON.parse(await readFile("package.json", "utf8")) as { version: string };
    expect((await quarry("--version")).stdout).toBe(`${version}\n`);
  });
});

describe("a refusal", () => {
  test.each([
    [["rnu", "x.ts"], "error: unknown command 'rnu'; did you mean run?\nhint: quarry --help\n"],
    [["run"], "error: missing required argument 'experiment'\nhint: quarry run --help\n"],
    [
      ["run", "x.ts", "--reportr", "plain"],
      "error: --reportr: unknown option; did you mean --reporter?\nhint: docs/options.md describes every option.\n",
    ],
    [
      ["run", "x.ts", "--train.args.learningrte=1"],
      "error: --train.args.learningrte: unknown option; did you mean --train.args.learningRate?\nhint: docs/options.md describes every option.\n",
    ],
    [
      ["run", "x.ts", "--reporter", "fancy"],
      "error: --reporter: expected one of auto, dashboard, plain, json, saw fancy\nhint: quarry run --help\n",
    ],
    [
      ["data", "look", "x.ts"],
      "error: quarry data: expected one of check, stats, show, saw look\nhint: quarry data check x.ts\n",
    ],
    [
      ["data", "show", "x.ts", "--step", "last"],
      "error: --step: expected a whole number from 0 on, saw last\nhint: quarry data show experiment.ts --step 0\n",
    ],
    [["inspect", "--jsno"], "error: unknown option '--jsno'; did you mean --json?\nhint: quarry inspect --help\n"],
    [
      ["inspect", "--timeout", "soon"],
      "error: --timeout: expected a number above 0, at most 2000000, saw soon\nhint: quarry inspect --help\n",
    ],
  ])("has exit status 2, an error line and a hint, and no stack: quarry %j", async (argv, stderr) => {
    expect(await quarry(...argv)).toEqual({ status: 2, stdout: "", stderr });
  });
});

test("quarry --help loads no package but commander", async () => {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const follow = async (file: string): Promise<void> => {
    if (seen.has(file)) return;
    seen.add(file);
    const text = await readFile(file, "utf8");
    for (const [, what] of text.matchAll(/^(?:import|export) (?!type )[^;]*? from "([^"]+)"/gm)) {
      if (what === undefined || what.startsWith("node:")) continue;
      if (what.startsWith(".")) await follow(join(dirname(file), what.replace(/\.js$/, ".ts")));
      else packages.add(what);
    }
  };
  await follow("src/cli/main.ts");
  // main.ts loads it late, where a failure to do so can be told.
  await follow("src/cli/program.ts");
  expect(seen).toContain("src/cli/verb.ts");
  expect([...packages]).toEqual(["commander"]);
});
