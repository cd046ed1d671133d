/** Writes the golden loss curves (test/golden) anew, after a change that was meant to move them. */
import { spawnSync } from "node:child_process";

const args = [
  "node_modules/vitest/vitest.mjs",
  "run",
  "--project",
  "training",
  "test/integration/golden-curves.test.ts",
];
const { status } = spawnSync(process.execPath, args, {
  stdio: "inherit",
  env: { ...process.env, QUARRY_WRITE_GOLDEN: "1" },
});
process.exitCode = status ?? 1;
