/**
 * Makes a checkout ready: npm packages, build, Python environment; plain Node, as it runs before anything is installed.
 *
 * Each part carries a stamp that is written last, so an interrupted set-up is finished by the next call. The work is
 * done under one lock of the checkout, held by the kernel for the process and its children; a second set-up waits.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { startStep } from "./progress.mjs";

export const root = resolve(fileURLToPath(new URL("..", import.meta.url)));
const packagesStamp = join(root, "node_modules", ".quarry-stamp");
const buildStamp = join(root, "dist", ".quarry-stamp");
const lockFile = join(root, ".quarry", "setup.lock");
// Ends whatever is at work when this process is asked to stop.
const stop = new AbortController();

// flock as a command: the descriptor stays open through exec, and the kernel lets go when the process ends.
// PR_SET_PDEATHSIG stays through exec, too: when this process is killed, the one that works hears SIGTERM and stops.
const underLock = `
import ctypes, fcntl, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("Another set-up of this checkout is at work; waiting for it", file=sys.stderr, flush=True)
    fcntl.flock(lock, fcntl.LOCK_EX)
os.dup2(lock, 3)
os.set_inheritable(3, True)
os.execvp(sys.argv[2], sys.argv[2:])
`;

/** A set-up that cannot go on: the message says what to install or do. */
class SetupFault extends Error {}

/**
 * Makes everything ready that is not; costs file reads only when all is.
 *
 * @param {("demo" | "test")[] | null} extras Python packages beyond the runtime; null leaves Python out
 * @returns {Promise<{ executable: string, env: Record<string, string> }>} the Python environment
 */
export async function setUp(extras) {
  checkNode();
  const ready = await current(extras);
  if (ready) return ready;
  checkPython();
  mkdirSync(join(root, ".quarry"), { recursive: true });
  const command = [process.execPath, fileURLToPath(import.meta.url), "--locked", ...(extras ?? ["--build"])];
  const child = spawn("python3", ["-c", underLock, lockFile, ...command], { stdio: "inherit" });
  // The terminal sends Ctrl-C to both; what ends this process by name must reach the one that works.
  const forward = (signal) => child.kill(signal);
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, forward);
  const status = await new Promise((done) => child.on("exit", (code, signal) => done(signal ? 130 : code)));
  for (const signal of signals) process.off(signal, forward);
  if (status !== 0) process.exit(status);
  const made = await current(extras);
  if (!made) throw new SetupFault("The set-up changed while it was checked; run the command again.");
  return made;
}

/** The Python environment when packages, build and Python are as they should be, else null. */
async function current(extras) {
  if (!hasPackages() || !isBuilt()) return null;
  if (extras === null) return {};
  const { findPython } = await import(pathToFileURL(join(root, "dist", "python", "environment.js")).href);
  return findPython({ extras }).catch(() => null);
}

async function work(extras) {
  for (const signal of ["SIGINT", "SIGHUP"]) process.once(signal, () => stop.abort());
  // Whoever asked is dead: the kernel says so once for each of its threads, and the second time must not end this process
  // before npm has been told.
  process.on("SIGTERM", () => stop.abort());
  if (!hasPackages()) await step("npm packages", installPackages);
  if (!isBuilt()) await step("build", build);
  if (extras === null) return;
  const { findPython } = await import(pathToFileURL(join(root, "dist", "python", "environment.js")).href);
  await step("Python environment", (show) =>
    findPython({ extras, install: true, onLine: (line) => showPip(line, show), signal: stop.signal }),
  );
}

async function step(label, action) {
  const shown = startStep(label);
  try {
    await action(shown.detail);
    shown.done();
  } catch (error) {
    shown.fail();
    throw error;
  }
}

/** Shows those of pip's lines that tell a user something, without paths. */
function showPip(line, show) {
  const text = line.trim();
  if (text.startsWith("Installing collected packages:")) show(`Installing ${text.split(",").length} packages`);
  else if (/^(Making|Another|Collecting|Downloading|Building|Installed) /.test(text)) {
    show(text.replace(/ \(from .*/, "").replace(/https?:\S*\//, ""));
  }
}

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new SetupFault(`Quarry needs Node 20.19 or newer; this is ${process.version}. Install one from nodejs.org.`);
}

function checkPython() {
  const probe = "import sys; print(*sys.version_info[:2])";
  const { status, stdout } = spawnSync("python3", ["-c", probe], { encoding: "utf8" });
  const [major = 0, minor = 0] = (stdout ?? "").trim().split(" ").map(Number);
  if (status === 0 && (major > 3 || (major === 3 && minor >= 10))) return;
  const seen = status === 0 ? `python3 is Python ${major}.${minor}` : "python3 is not on the PATH";
  throw new SetupFault(
    `Quarry needs Python 3.10 or newer; ${seen}. Install it with venv and pip (Debian and Ubuntu: apt install python3 python3-venv).`,
  );
}

function hash(...paths) {
  const sum = createHash("sha256");
  for (const path of paths) sum.update(relative(root, path)).update("\0").update(readFileSync(path)).update("\0");
  return sum.digest("hex");
}

function readStamp(path) {
  return existsSync(path) ? readFileSync(path, "utf8") : null;
}

function writeStamp(path, content) {
  writeFileSync(`${path}.tmp`, content);
  renameSync(`${path}.tmp`, path);
}

function hasPackages() {
  const wanted = hash(join(root, "package-lock.json"));
  if (readStamp(packagesStamp) === wanted) return true;
  if (!isInstalledByNpm()) return false;
  writeStamp(packagesStamp, wanted);
  return true;
}

/** Whether somebody ran `npm install` or `npm ci` for the same lock file; npm writes its copy last. */
function isInstalledByNpm() {
  const copy = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(copy)) return false;
  const installed = JSON.parse(readFileSync(copy, "utf8")).packages;
  const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  return Object.entries(wanted).every(
    ([path, entry]) => path === "" || entry.optional || installed[path]?.version === entry.version,
  );
}

/**
 * As `npm ci` does it: from nothing, in the versions of the lock file. `npm ci` itself refuses a lock file without the
 * optional packages of every platform, which a registry that serves one platform only cannot give.
 */
async function installPackages(show) {
  rmSync(join(root, "node_modules"), { recursive: true, force: true });
  let fetched = 0;
  await run("npm", ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=http"], (line) => {
    if (line.includes("http fetch GET 200")) show(`npm: ${++fetched} downloads`);
  });
  writeStamp(packagesStamp, hash(join(root, "package-lock.json")));
}

function sources(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function buildHash() {
  const settings = ["package.json", "package-lock.json", "tsconfig.json"].map((name) => join(root, name));
  return hash(...settings, ...sources(join(root, "src")));
}

function isBuilt() {
  const stamp = readStamp(buildStamp);
  return stamp !== null && stamp === buildHash();
}

async function build() {
  // Taken before compiling: what is edited meanwhile is built by the next call.
  const wanted = buildHash();
  rmSync(buildStamp, { force: true });
  const dist = join(root, "dist");
  const emitted = new Set();
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  await run(process.execPath, [compiler, "-p", "tsconfig.json", "--listEmittedFiles"], (line) => {
    if (line.startsWith("TSFILE: ")) emitted.add(resolve(root, line.slice("TSFILE: ".length)));
  });
  mkdirSync(dist, { recursive: true });
  for (const path of sources(dist)) if (!emitted.has(path)) rmSync(path);
  const main = join(dist, "cli", "main.js");
  if (existsSync(main)) chmodSync(main, 0o755);
  writeStamp(buildStamp, wanted);
}

/** Runs a command, hands each line of its output on, and fails with its last lines. */
function run(command, args, onLine) {
  return new Promise((done, fail) => {
    // Descriptor 3 is the lock: a child that outlives this process keeps it until it has ended.
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe", 3], signal: stop.signal });
    const last = [];
    let rest = "";
    const take = (chunk) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        onLine(line);
        if (!/http (fetch|cache)|^TSFILE/.test(line)) last.push(line);
        if (last.length > 40) last.shift();
      }
    };
    child.stdout.setEncoding("utf8").on("data", take);
    child.stderr.setEncoding("utf8").on("data", take);
    child.on("error", fail);
    child.on("close", (code, signal) => {
      if (code === 0) done();
      else fail(new SetupFault(`${command} ended with ${signal ?? code}:\n${[...last, rest].join("\n")}`));
    });
  });
}

/** Ends the process with one clear message. */
export function failWith(error) {
  if (error?.name === "AbortError" || error?.code === "INTERRUPTED") {
    process.stderr.write("\nSet-up stopped; the next call goes on with it.\n");
    process.exit(130);
  }
  const isExpected = error instanceof SetupFault || error?.name === "QuarryError";
  process.stderr.write(`\n${isExpected ? error.message : error.stack}\n${error?.hint ? `→ ${error.hint}\n` : ""}`);
  process.exit(error?.exitStatus ?? 4);
}

if (process.argv[1] && pathToFileURL(process.argv[1]).href === import.meta.url) {
  const args = process.argv.slice(2);
  const isLocked = args.includes("--locked");
  const named = args.filter((each) => !each.startsWith("--"));
  const extras = args.includes("--build") ? null : named.length > 0 || isLocked ? named : ["demo", "test"];
  const task = isLocked ? work(extras) : setUp(extras).then(() => process.stderr.write("Ready.\n"));
  await task.catch(failWith);
}
