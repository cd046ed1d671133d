/**
 * Makes the environment in which the peers of the benchmarks run; plain Node. Prints its Python.
 *
 * Trove trains neither with current transformers nor with current datasets, so the versions are pinned, and the package
 * itself comes without its dependencies. The environment lives in the folder that QUARRY_PEERS names, else in the cache
 * folder, and is made once: its stamp is written last, so an interrupted set-up begins again.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** Exactly this pin of torch gets the small build for CPUs. */
const PINS = [
  "torch==2.13.0",
  "transformers==4.57.6",
  "datasets==4.4.2",
  "polars==1.39.3",
  "peft==0.18.1",
  "accelerate==1.12.0",
  "huggingface_hub==0.36.2",
  "lmdb",
  "wandb",
  "pytrec_eval-terrier",
  "rich",
];
const TROVE = "ir-trove==0.0.2";
/** What sentence-transformers' trainer needs beyond Quarry's own environment, which has no use for it. */
const DATASETS = [
  "datasets==5.2.0",
  "dill==0.4.0",
  "multiprocess==0.70.18",
  "pandas==3.1.1",
  "python-dateutil==2.9.0.post0",
  "six==1.17.0",
];

/**
 * The Python of the peers' environment, made if it is not there.
 *
 * @returns {string} path of the executable
 */
export function peersPython() {
  const own = process.env.QUARRY_PEERS;
  return makeEnvironment(own || cacheFolder("bench-peers", [...PINS, TROVE]));
}

/**
 * A folder for the PYTHONPATH with the packages of sentence-transformers' trainer, made if it is not there; nothing that
 * Quarry's own environment has is in it.
 *
 * @param {string} python of Quarry's environment
 * @returns {string} the folder
 */
export function trainerPackages(python) {
  const folder = cacheFolder("bench-datasets", [...DATASETS, python]);
  const stamp = join(folder, "ready");
  if (existsSync(stamp)) return folder;
  rmSync(folder, { recursive: true, force: true });
  run(python, ["-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, ...DATASETS]);
  writeFileSync(stamp, "");
  return folder;
}

function cacheFolder(name, pins) {
  const caches = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  return join(caches, "quarry", `${name}-${hashOf(pins)}`);
}

function hashOf(pins) {
  return createHash("sha256").update(pins.join("\n")).digest("hex").slice(0, 12);
}

function makeEnvironment(folder) {
  const hash = hashOf([...PINS, TROVE]);
  const stamp = join(folder, "ready");
  const python = join(folder, "bin", "python");
  if (existsSync(stamp) && existsSync(python) && readFileSync(stamp, "utf8") === hash) return python;
  // A folder that somebody named is not emptied when it is not ours.
  if (existsSync(folder) && !existsSync(join(folder, "pyvenv.cfg")) && readdirSync(folder).length > 0) {
    throw new Error(`${folder} is no environment of the peers: name an empty folder in QUARRY_PEERS.`);
  }
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  run(process.env.PYTHON ?? "python3", ["-m", "venv", folder]);
  run(python, ["-m", "pip", "install", "--quiet", ...PINS]);
  run(python, ["-m", "pip", "install", "--quiet", "--no-deps", TROVE]);
  writeFileSync(stamp, hash);
  return python;
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", 2, 2] });
  if (status === 0) return;
  throw new Error(`${command} ${args.join(" ")} ended with ${error?.message ?? `status ${status}`}.`);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  console.log(peersPython());
}
