/** Answers and errors of the runtime's commands, among whatever libraries say. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runtimeAnswer } from "../../../src/pipeline/runtime-command.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "quarry-test-command-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Calls a shell script in Python's place. */
function answer(script: string, input?: string): Promise<unknown> {
  const executable = join(folder, "python");
  writeFileSync(executable, `#!/bin/sh\n${script}\n`, { mode: 0o700 });
  const python = async () => ({ executable, env: { PATH: process.env["PATH"] ?? "" } });
  const context = { python, signal: new AbortController().signal, checkStop: () => {} };
  return runtimeAnswer(context, "measure", ["--run", "a"], "the measures could not be computed", input);
}

test("the answer is what stands on stdout, whatever stands on stderr", async () => {
  expect(await answer(`echo 'a library' >&2; printf '{"args": "%s"}' "$*"`)).toEqual({
    args: "-m quarry_runtime measure --run a",
  });
  expect(await answer("cat", '["é"]')).toEqual(["é"]);
});

test("an error is the last that the runtime told, not what a library said in the same form", async () => {
  const script = `echo 'WARNING: old' >&2; echo 'DATA: a.run:3: no rank' >&2; echo '  Write one.' >&2; exit 3`;
  await expect(answer(script)).rejects.toMatchObject({
    ...{ code: "DATA", message: "a.run:3: no rank", hint: "Write one." },
  });
});

test("a Python that does not start says why", async () => {
  const fatal = "Fatal Python error: init_hash: PYTHONHASHSEED is no number";
  const trace = (state: string) =>
    `printf '${fatal}\\nPython runtime state: ${state}\\n\\n  <no Python frame>\\n' >&2; exit 1`;
  const message = `Python does not run: ${fatal}`;
  await expect(answer(trace("core initialized"))).rejects.toMatchObject({ code: "ENVIRONMENT", message });
  await expect(answer(trace("initialized"))).rejects.toMatchObject({ code: "INTERNAL" });
});

test("what the runtime did not expect, or could not say, names what was wanted", async () => {
  const script = `echo 'INTERNAL: KeyError: 3' >&2; echo 'Traceback' >&2; echo 'KeyError: 3' >&2; exit 1`;
  await expect(answer(script)).rejects.toMatchObject({
    ...{ code: "INTERNAL", message: "the measures could not be computed: KeyError: 3" },
  });
  await expect(answer("kill -KILL $$")).rejects.toThrow("the measures could not be computed: SIGKILL");
});
