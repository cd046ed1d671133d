/** Temporary folders: private, made elsewhere where TMPDIR does not serve, and gone after use. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { execaSync } from "execa";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { inTemporaryFolder } from "../../../src/pipeline/runtime-command.js";
import { makeTemporaryFolder } from "../../../src/pool/temporary-folder.js";
import { writeTicket } from "../../../src/pool/ticket.js";
import { processMark, processStat } from "../../../src/process-stat.js";
import { mountSmallDisk, whyNoSmallDisk } from "../../fixtures/small-disk.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "quarry-tmp-"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

/** Where a command's answer and a ticket lie. */
async function parents(): Promise<string[]> {
  const ticket = writeTicket();
  try {
    const answers = await inTemporaryFolder(async (path) => {
      expect(statSync(path).mode & 0o777).toBe(0o700);
      return path;
    });
    expect(existsSync(answers)).toBe(false);
    return [dirname(answers), dirname(dirname(ticket.path))];
  } finally {
    ticket.remove();
  }
}

test("they lie in TMPDIR, whatever it is called", async () => {
  const odd = mkdtempSync(join(folder, "é %s-"));
  vi.stubEnv("TMPDIR", odd);
  expect(await parents()).toEqual([odd, odd]);
});

test("a relative TMPDIR is told to others as a whole path", async () => {
  vi.stubEnv("TMPDIR", relative(process.cwd(), folder));
  expect(await parents()).toEqual([folder, folder]);
});

test.skipIf(whyNoSmallDisk() !== null)("they lie in /tmp where TMPDIR is full, and nothing is left there", async () => {
  const disk = mountSmallDisk(1);
  try {
    const fill = () => writeFileSync(join(disk.path, "full"), Buffer.alloc(2 << 20));
    expect(fill).toThrow("ENOSPC");
    vi.stubEnv("TMPDIR", disk.path);
    expect(await parents()).toEqual(["/tmp", "/tmp"]);
    expect(readdirSync(disk.path)).toEqual(["full"]);
  } finally {
    disk.unmount();
  }
});

test.each(["missing", "a file"])("they lie in /tmp where TMPDIR is %s", async (what) => {
  const path = join(folder, "tmp");
  if (what === "a file") writeFileSync(path, "");
  vi.stubEnv("TMPDIR", path);
  expect(await parents()).toEqual(["/tmp", "/tmp"]);
});

test("only a socket needs a short path", async () => {
  const long = mkdtempSync(join(folder, `${"x".repeat(100)}-`));
  vi.stubEnv("TMPDIR", long);
  expect(await parents()).toEqual([long, "/tmp"]);
});

test.skipIf(processStat(process.pid) === null)(
  "those of a killed process go with the next one's, no other's",
  async () => {
    vi.stubEnv("TMPDIR", folder);
    const own = processMark();
    const dead = Number(execaSync("sh", ["-c", "echo $$"]).stdout);
    const kept = [`quarry-${own}-abcdef`, `quarry-${own.replace(/^\w{8}/, "00000000")}-abcdef`, "quarry-abcdef"];
    for (const name of [...kept, `quarry-${own.replace(`-${process.pid}-`, `-${dead}-`)}-abcdef`]) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "answer.json"), "");
    }
    await inTemporaryFolder(async () => {});
    expect(readdirSync(folder).sort()).toEqual(kept.sort());
  },
);

test("where none can be made, that is an ENVIRONMENT error that names TMPDIR", () => {
  vi.stubEnv("TMPDIR", "/nowhere");
  expect(() => makeTemporaryFolder("quarry-", () => false)).toThrow(
    expect.objectContaining({
      code: "ENVIRONMENT",
      message: "No temporary folder can be made: /nowhere and /tmp do not serve.",
      hint: expect.stringContaining("TMPDIR") as string,
    }),
  );
});
