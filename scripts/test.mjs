/**
 * `npm test`: makes the checkout ready, runs every check and test, and ends with one line that counts them all.
 *
 * `npm test -- --only unit --only lint` runs some stages; `--list` names them; `--patience 3` makes every limit
 * three times as long, for a slow or busy machine.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { count } from "./count.mjs";
import { failWith, root, setUp } from "./setup.mjs";
import { stages } from "./stages.mjs";

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    list: { type: "boolean", default: false },
    patience: { type: "string", default: "1" },
  },
});
const python = await setUp(["demo", "test"]).catch(failWith);
const reports = mkdtempSync(join(tmpdir(), "quarry-test-"));
const all = stages(python.executable, reports);
const made = [reports];
process.on("exit", () => made.forEach((folder) => rmSync(folder, { recursive: true, force: true })));
const known = all.map(({ name }) => name);
const unknown = (values.only ?? []).filter((name) => !known.includes(name));
if (values.list || unknown.length > 0) {
  process.stdout.write(`Stages: ${known.join(", ")}\n`);
  process.exit(unknown.length > 0 ? 2 : 0);
}

// GPUs are hidden: what tests compare was computed on CPUs, and they start more ranks than a machine has GPUs.
const env = {
  // For tsc and tsgolint, which are written in Go: a third of their CPU time goes into collecting what they keep anyhow.
  ...{ GOGC: "off", GOMEMLIMIT: "2GiB" },
  ...python.env,
  CUDA_VISIBLE_DEVICES: "",
  HF_HUB_OFFLINE: "1",
  HF_DATASETS_OFFLINE: "1",
  CI: "1",
  NO_COLOR: "1",
};
const running = new Set();
let stoppedBy = null;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    stoppedBy ??= signal;
    for (const child of running) endGroup(child, "SIGTERM");
  });
}

const totals = { passed: 0, failed: 0, skipped: 0 };
const startedAt = performance.now();
const waiting = all.filter(({ name }) => !values.only || values.only.includes(name));
await runAll(waiting);
if (stoppedBy) process.exit(stoppedBy === "SIGINT" ? 130 : 143);
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : "";
process.stdout.write(`\n${secondsSince(startedAt)} in all\n`);
process.stdout.write(`${totals.passed} passed, ${totals.failed} failed${skipped}\n`);
process.exitCode = totals.failed > 0 ? 1 : 0;

/** Runs stages in order, three side by side: on two cores, since most of them wait for processes half of their time. */
async function runAll(queue) {
  const active = new Set();
  for (const stage of queue) {
    if (active.size === 3) await Promise.race(active);
    if (stoppedBy) break;
    const task = runStage(stage).finally(() => active.delete(task));
    active.add(task);
  }
  await Promise.all(active);
}

async function runStage(stage) {
  const since = performance.now();
  const outcomes = [];
  // Some tests look at what is left in the temporary folder: the stage beside them must not leave it there.
  const temporary = mkdtempSync(join(quickest(), "test-"));
  made.push(temporary);
  const limit = stage.limitSeconds * Number(values.patience);
  for (const command of stage.commands) outcomes.push(await run(command, limit, { TMPDIR: temporary }));
  rmSync(temporary, { recursive: true, force: true, maxRetries: 5 });
  if (stoppedBy) return;
  const isFine = outcomes.every(({ status }) => status === 0);
  const { passed, failed, skipped } = count(stage, reports, isFine);
  totals.passed += passed;
  totals.failed += failed;
  totals.skipped += skipped;
  const numbers = stage.counts === "check" ? (failed ? "failed" : "passed") : `${passed} passed, ${failed} failed`;
  const also = skipped > 0 ? `, ${skipped} skipped` : "";
  process.stdout.write(`${stage.name.padEnd(12)} ${secondsSince(since).padStart(8)}  ${numbers}${also}\n`);
  if (failed === 0) return;
  const complaints = outcomes.filter(({ status }) => status !== 0).map(({ output }) => output.trim());
  process.stdout.write(`${complaints.join("\n")}\n\n`);
}

/** Where temporary folders lie: in memory, where there is enough, since what tests write durably a disk keeps them waiting for. */
function quickest() {
  const shared = "/dev/shm";
  try {
    const { bavail, bsize } = statfsSync(shared);
    const mount = readFileSync("/proc/mounts", "utf8").match(new RegExp(`^\\S+ ${shared} tmpfs (\\S+)`, "m"));
    // Tests run programs that they have written.
    if (mount !== null && !/\bnoexec\b/.test(mount[1]) && bavail * bsize > 6e9) return shared;
  } catch {
    // another system
  }
  return tmpdir();
}

/** Runs a command in a process group of its own, so that a stage past its limit is ended with all its children. */
function run(command, limitSeconds, more) {
  return new Promise((done) => {
    const [file, ...args] = command;
    const child = spawn(file, args, {
      cwd: root,
      env: { ...env, ...more },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    running.add(child);
    let output = "";
    const limit = setTimeout(() => {
      output += `\nEnded: it ran longer than its limit of ${limitSeconds} s (--patience 2 doubles it).`;
      endGroup(child, "SIGKILL");
    }, limitSeconds * 1000);
    child.stdout.setEncoding("utf8").on("data", (chunk) => (output += chunk));
    child.stderr.setEncoding("utf8").on("data", (chunk) => (output += chunk));
    const end = (status) => {
      clearTimeout(limit);
      running.delete(child);
      done({ status, output });
    };
    child.on("error", (error) => {
      output += `\n${error.message}`;
      end(1);
    });
    child.on("close", (code) => end(code ?? 1));
  });
}

function endGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // it has ended meanwhile
  }
}

function secondsSince(since) {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}
