/** What `npm test` runs, three at a time: each stage, its commands, how its tests are counted, how long it may take. */
import { join } from "node:path";

const tool = (path) => [process.execPath, join("node_modules", path)];

/**
 * @typedef {object} Stage
 * @property {string} name what `--only` takes
 * @property {string[][]} commands run in order; all of them, so that one run shows every complaint
 * @property {"check" | "vitest" | "pytest"} counts a check counts as one; tests are counted by their report
 * @property {number} limitSeconds
 */

/**
 * @param {string} python path of the interpreter
 * @param {string} reports folder for the test reports
 * @returns {Stage[]}
 */
export function stages(python, reports) {
  const check = (name, ...commands) => ({ name, commands, counts: "check", limitSeconds: 1_200 });
  const vitest = (name, limitSeconds) => {
    const report = `--outputFile.json=${join(reports, `${name}.json`)}`;
    const command = [...tool("vitest/vitest.mjs"), "run", "--project", name, "--reporter=default", "--reporter=json"];
    return { name, commands: [[...command, report]], counts: "vitest", limitSeconds };
  };
  const config = join("py_runtime", "pyproject.toml");
  const ruff = [python, "-m", "ruff"];
  const pythonFiles = ["py_runtime", join("test", "py"), join("test", "fixtures"), "scripts"];
  const junit = `--junitxml=${join(reports, "python.xml")}`;
  // The longest first, so that at the end no slot waits for the other.
  return [
    vitest("fault", 3_000),
    vitest("integration", 3_000),
    vitest("training", 3_000),
    vitest("e2e", 3_000),
    {
      name: "python",
      commands: [[python, "-m", "pytest", "-c", config, "--rootdir", ".", "-q", "-rs", junit, join("test", "py")]],
      counts: "pytest",
      limitSeconds: 3_000,
    },
    vitest("unit", 1_800),
    check(
      "types",
      [...tool("pyright/index.js"), "--pythonpath", python],
      // Each checker works out the same types for itself: four take 17 s of CPU where one takes 11.
      [...tool("typescript/bin/tsc"), "-p", "tsconfig.check.json", "--singleThreaded"],
    ),
    vitest("protocol", 900),
    check(
      "lint",
      [...tool("oxlint/bin/oxlint"), "--type-aware", "--deny-warnings"],
      [...ruff, "check", "--config", config, ...pythonFiles],
    ),
    check("generated", [process.execPath, join("scripts", "gen.mjs"), "--check"]),
    check("unused", [...tool("knip/bin/knip.js"), "--no-progress"]),
    check(
      "format",
      [...tool("@biomejs/biome/bin/biome"), "ci", "--reporter=summary", "."],
      [...ruff, "format", "--config", config, "--check", ...pythonFiles],
    ),
    check("imports", [
      python,
      "-c",
      "from importlinter.cli import lint_imports_command as c; c()",
      "--no-cache",
      "--config",
      config,
    ]),
  ];
}
