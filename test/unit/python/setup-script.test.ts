/** scripts/setup.mjs on a checkout of nothing, with an npm that takes its time. */
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { expect, onTestFinished, test, vi } from "vitest";
import { processStat } from "../../../src/process-stat.js";

const scripts = fileURLToPath(new URL("../../../scripts", import.meta.url));
const patience = { timeout: 60_000 };

test.skipIf(process.platform !== "linux")("what a set-up has started ends when it is killed", async () => {
  const folder = await mkdtemp(join(tmpdir(), "quarry-set-up-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const [own, npm] = [join(folder, "scripts"), join(folder, "npm")];
  await mkdir(own);
  for (const name of ["setup.mjs", "progress.mjs"]) await copyFile(join(scripts, name), join(own, name));
  await writeFile(join(folder, "package-lock.json"), "{}");
  await writeFile(npm, '#!/bin/sh\necho $$ > "$0.pid"\nexec sleep 600\n');
  await chmod(npm, 0o755);
  const setUp = execa("node", [join(own, "setup.mjs"), "--build"], {
    env: { PATH: `${folder}:${process.env["PATH"] ?? ""}` },
    ...{ stdin: "ignore", reject: false, stdout: "ignore", stderr: "ignore" },
  });
  const pid = await vi.waitFor(async () => {
    const told = await readFile(`${npm}.pid`, "utf8");
    expect(told).toMatch(/^\d+\n$/);
    return Number(told);
  }, patience);
  expect(processStat(pid)?.isRunning).toBe(true);
  setUp.kill("SIGKILL");
  await vi.waitFor(() => expect(processStat(pid)?.isRunning).not.toBe(true), patience);
  await setUp;
});
