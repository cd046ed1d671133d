/** Writes every generated file, or with `--check` fails when one is out of date. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const args = process.argv.slice(2);
const names = ["gen-protocol.mjs", "gen-training-args.mjs", "gen-losses.mjs", "gen-options.mjs"];
const statuses = names.map((name) => {
  const script = fileURLToPath(new URL(name, import.meta.url));
  return spawnSync(process.execPath, [script, ...args], { stdio: "inherit" }).status;
});
process.exit(statuses.every((status) => status === 0) ? 0 : 1);
