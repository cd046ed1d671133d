/** Where the Python environment is looked for, what makes it complete, and what is said when it is not. */
import { chmod, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { QuarryError } from "../../../src/errors.js";
import { findPython } from "../../../src/python/environment.js";

const runtime = fileURLToPath(new URL("../../../py_runtime", import.meta.url));
let folder: string;

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "quarry-python-")));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

/** An environment without any package, as somebody might name it in QUARRY_PYTHON. */
async function emptyVenv(): Promise<void> {
  const path = join(folder, "venv");
  await execa("python3", ["-m", "venv", "--without-pip", path]);
  vi.stubEnv("QUARRY_PYTHON", path);
}

/** Programs that stand in front of the real ones on the PATH. */
async function program(name: string, script: string): Promise<void> {
  await mkdir(join(folder, "bin"), { recursive: true });
  await writeFile(join(folder, "bin", name), `#!/bin/sh\n${script}\n`);
  await chmod(join(folder, "bin", name), 0o755);
  vi.stubEnv("PATH", `${join(folder, "bin")}:${process.env.PATH ?? ""}`);
}

async function failure(promise: Promise<unknown>): Promise<QuarryError> {
  const thrown = await promise.catch((error: unknown) => error);
  if (!(thrown instanceof QuarryError)) throw new Error(`no QuarryError but ${String(thrown)}`);
  return thrown;
}

test("the folder in QUARRY_PYTHON is taken, and a missing one is an ENVIRONMENT error with the way out", async () => {
  vi.stubEnv("QUARRY_PYTHON", join(folder, "nowhere"));
  const error = await failure(findPython({ extras: ["demo"] }));
  expect(error.code).toBe("ENVIRONMENT");
  expect(error.message).toContain(join(folder, "nowhere"));
  expect(error.hint).toBe("Run `npx quarry setup --extra demo`.");
});

test("an interpreter that this user may not run is not called missing", async () => {
  await mkdir(join(folder, "venv", "bin"), { recursive: true });
  await writeFile(join(folder, "venv", "bin", "python"), "", { mode: 0o644 });
  vi.stubEnv("QUARRY_PYTHON", join(folder, "venv"));
  const error = await failure(findPython());
  expect(error.message).toBe(`This user may not run ${join(folder, "venv", "bin", "python")}, or what it leads to.`);
  expect(error.hint).toContain("QUARRY_PYTHON");
});

test("an environment that lacks packages is refused and told what it lacks", async () => {
  await emptyVenv();
  const error = await failure(findPython());
  expect(error.code).toBe("ENVIRONMENT");
  expect(error.message).toMatch(/lacks accelerate.*torch/);
});

test("a stamped environment is taken as it is, with the runtime in front on PYTHONPATH", async () => {
  const venv = join(folder, "venv");
  vi.stubEnv("QUARRY_PYTHON", venv);
  // The stamp carries hashes that only a call of install.py shows.
  const log = join(folder, "arguments");
  await program("python3", `case "$1" in -c) echo 3 11;; *) echo "$@" > ${log}; exit 1;; esac`);
  await failure(findPython({ extras: ["test"], install: true }));
  const sets = /--sets (\{.*?\})/.exec(await readFile(log, "utf8"))?.[1] ?? "";
  await mkdir(join(venv, "bin"), { recursive: true });
  await symlink(process.execPath, join(venv, "bin", "python"));
  vi.stubEnv("PYTHONOPTIMIZE", "2");
  const stamp = { madeBy: "quarry", python: await realpath(process.execPath), sets: JSON.parse(sets) as unknown };
  await writeFile(join(venv, "quarry-environment.json"), JSON.stringify(stamp));
  vi.stubEnv("PYTHONPATH", "/of/the/user");
  vi.stubEnv("PYTHONHOME", "/of/another");
  vi.stubEnv("PYTHONINSPECT", "1");
  const python = await findPython({ extras: ["test"] });
  expect(python.executable).toBe(join(venv, "bin", "python"));
  expect(python.env).toMatchObject({
    PYTHONPATH: `${runtime}:/of/the/user`,
    PYTHONUNBUFFERED: "1",
    PYTHONSAFEPATH: "1",
    PYTHONOPTIMIZE: "",
    TOKENIZERS_PARALLELISM: "false",
    GLIBC_TUNABLES: expect.stringContaining("mmap_threshold"),
    PATH: process.env.PATH,
  });
  expect(python.env).not.toHaveProperty("PYTHONHOME");
  expect(python.env).not.toHaveProperty("PYTHONINSPECT");
  vi.stubEnv("GLIBC_TUNABLES", "glibc.malloc.check=1");
  expect((await findPython({ extras: ["test"] })).env.GLIBC_TUNABLES).toBe("glibc.malloc.check=1");
  // The same stamp says nothing about the demo, and nothing about another interpreter.
  expect((await failure(findPython({ extras: ["demo"] }))).code).toBe("ENVIRONMENT");
  await writeFile(join(venv, "quarry-environment.json"), JSON.stringify({ ...stamp, python: "/usr/bin/python3.9" }));
  expect((await failure(findPython({ extras: ["test"] }))).code).toBe("ENVIRONMENT");
});

test("PYTHONHOME, which names the home of another Python, is passed over", async () => {
  await emptyVenv();
  vi.stubEnv("PYTHONHOME", "/usr/lib/another");
  expect((await failure(findPython())).message).toMatch(/lacks accelerate.*torch/);
});

test("a PYTHONPATH of another Python is named, with what it does and the way out", async () => {
  await emptyVenv();
  await mkdir(join(folder, "other"));
  await writeFile(join(folder, "other", "csv.py"), "import _csv_of_another_python\n");
  vi.stubEnv("PYTHONPATH", join(folder, "other"));
  const error = await failure(findPython());
  expect(error.code).toBe("ENVIRONMENT");
  expect(error.message).toContain(`PYTHONPATH=${join(folder, "other")}: ModuleNotFoundError`);
  expect(error.hint).toContain("Unset PYTHONPATH");
  vi.stubEnv("PYTHONPATH", folder);
  expect((await failure(findPython())).message).toMatch(/lacks accelerate.*torch/);
});

test("a Python that is too old, or none at all, is named with what to install", async () => {
  vi.stubEnv("QUARRY_PYTHON", join(folder, "new"));
  await program("python3", "echo 3 9");
  const old = await failure(findPython({ install: true }));
  expect(old.message).toContain("Python 3.9");
  expect(old.hint).toContain("python3-venv");
  await program("python3", "exit 127");
  expect((await failure(findPython({ install: true }))).message).toContain("does not run");
});

test("a folder with other things in it is left alone", async () => {
  await writeFile(join(folder, "thesis.txt"), "years of work");
  vi.stubEnv("QUARRY_PYTHON", folder);
  const error = await failure(findPython({ install: true }));
  expect(error.message).toContain("neither empty nor a virtual environment");
  expect((await readdir(folder)).sort()).toEqual(["quarry-environment.lock", "thesis.txt"]);
});

test("an install that is told to stop ends as INTERRUPTED", async () => {
  vi.stubEnv("QUARRY_PYTHON", join(folder, "new"));
  await program("python3", 'case "$1" in -c) echo 3 11;; *) echo started; exec sleep 60;; esac');
  const controller = new AbortController();
  const lines: string[] = [];
  const onLine = (line: string): void => {
    lines.push(line);
    controller.abort();
  };
  const error = await failure(findPython({ install: true, onLine, signal: controller.signal }));
  expect(error.code).toBe("INTERRUPTED");
  expect(lines).toEqual(["started"]);
});

test("a Python that a variable keeps from starting is not called missing", async () => {
  await emptyVenv();
  vi.stubEnv("PYTHONHASHSEED", "wrong");
  const reason = { code: "ENVIRONMENT", message: expect.stringContaining("PYTHONHASHSEED must be") };
  expect(await failure(findPython())).toMatchObject(reason);
  vi.stubEnv("QUARRY_PYTHON", join(folder, "new"));
  expect(await failure(findPython({ install: true }))).toMatchObject(reason);
});
