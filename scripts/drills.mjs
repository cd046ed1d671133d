/**
 * `npm run drills`: what `npm test` tries in small, at the full figures of docs/faults.md; about an hour and a half.
 *
 * QUARRY_DRILL_ROUNDS, QUARRY_DRILL_SECONDS and QUARRY_DRILL_STARTS ask for fewer. Arguments choose files, as vitest's do.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { failWith, root, setUp } from "./setup.mjs";

const full = {
  QUARRY_DRILL_SECONDS: "600",
  QUARRY_FAULT_ROUNDS: "100",
  QUARRY_GARBAGE_CONNECTIONS: "10000",
  QUARRY_MUTATED_MESSAGES: "1000000",
  // Other examples for properties than `npm test` has.
  QUARRY_SEED: String(Date.now() % 2 ** 31),
};
const files = ["test/drills", "test/fault/cache-builders", "test/fault/pool-strangers", "test/protocol", "test/unit"];

console.error(`QUARRY_SEED=${process.env.QUARRY_SEED ?? full.QUARRY_SEED}`);
const python = await setUp(["demo", "test"]).catch(failWith);
const projects = ["drills", "fault", "protocol", "unit"].flatMap((name) => ["--project", name]);
const chosen = process.argv.slice(2);
const vitest = [join("node_modules", "vitest", "vitest.mjs"), "run", ...projects];
const pytest = ["-m", "pytest", "-c", join("py_runtime", "pyproject.toml"), "--rootdir", ".", "-q"];
const commands = [[process.execPath, ...vitest, ...(chosen.length > 0 ? chosen : files)]];
if (chosen.length === 0) {
  commands.push([python.executable, ...pytest, join("test", "py", "protocol", "test_mutation.py")]);
  // What `npm test` tries with the same examples each time.
  const anew = ["-m", "hypothesis", "--hypothesis-profile=drills"];
  commands.push([python.executable, ...pytest, ...anew, join("test", "py")]);
}
for (const [file, ...args] of commands) {
  const env = { ...python.env, ...full, ...process.env };
  const { status } = spawnSync(file, args, { cwd: root, env, stdio: "inherit" });
  if (status !== 0) process.exitCode = status ?? 1;
}
