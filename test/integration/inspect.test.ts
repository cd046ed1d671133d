/** Calls into Python: answers, errors that Python raises, and a Python that dies, hangs, or cannot be used. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ENCODERS, POOLINGS } from "../../src/experiment/plugin-checks.js";
import { SIMILARITIES } from "../../src/experiment/similarities.js";
import { callPython } from "../../src/python/bridge.js";
import { findPython, type PythonEnvironment } from "../../src/python/environment.js";
import { inspectModel, listRegistered } from "../../src/python/introspect.js";
import { commandLine } from "../fixtures/command-line.js";
import { writeTinyModel } from "../fixtures/tiny-model.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const main = join(root, "dist/cli/main.js");

const asked = `
import os, signal, time
from quarry_runtime.errors import ConfigError
def echo(value):
    print("noise")
    return {"got": value, "pid": os.getpid()}
def hang(): time.sleep(600)
def stop(): os.kill(os.getpid(), signal.SIGSTOP)
def die(): os.kill(os.getpid(), signal.SIGKILL)
def leave(): raise SystemExit(3)
def endless(): return {"limit": float("inf")}
def garble():
    import quarry_runtime.bridge as bridge
    bridge.json = type("Json", (), {"loads": bridge.json.loads, "dumps": staticmethod(lambda *_, **__: "{")})
    return {}
def refuse(): raise ConfigError("no such thing", hint="name another")
`;

let folder = "";
let python: PythonEnvironment;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-inspect-"));
  await writeFile(join(folder, "asked.py"), asked);
  const found = await findPython();
  await writeTinyModel(join(folder, "model"));
  python = { ...found, env: { ...found.env, PYTHONPATH: `${found.env.PYTHONPATH}${delimiter}${folder}` } };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe("a call into Python", () => {
  test("brings the answer back, swallows what Python prints, and leaves no process", async () => {
    const answer = (await callPython("asked", "echo", [[1, "é", null]], { python })) as { got: unknown; pid: number };
    expect(answer.got).toEqual([1, "é", null]);
    expect(isRunning(answer.pid)).toBe(false);
  });

  test("waits its turn while another one goes on", async () => {
    const answers = await Promise.all([1, 2, 3].map((value) => callPython("asked", "echo", [value], { python })));
    expect(answers).toMatchObject([{ got: 1 }, { got: 2 }, { got: 3 }]);
  });

  test("leaves this process's own variables as they were", async () => {
    const before = { ...process.env };
    await callPython("asked", "echo", [1], { python });
    expect({ ...process.env }).toEqual(before);
  });

  test("raises what Python raised, with its hint", async () => {
    const refused = callPython("asked", "refuse", [], { python });
    await expect(refused).rejects.toMatchObject({ code: "CONFIG", message: "no such thing", hint: "name another" });
    await expect(callPython("asked", "leave", [], { python })).rejects.toMatchObject({ code: "INTERNAL" });
  });

  test.each(["endless", "garble"])("is an INTERNAL error when the answer cannot be JSON: %s", async (name) => {
    await expect(callPython("asked", name, [], { python })).rejects.toMatchObject({ code: "INTERNAL" });
  });

  test("is a WORKER error when Python is killed, and the next call works", async () => {
    const died = callPython("asked", "die", [], { python });
    await expect(died).rejects.toMatchObject({
      code: "WORKER",
      isRetryable: true,
      message: expect.stringContaining("killed by SIGKILL"),
    });
    expect(await callPython("asked", "echo", [2], { python })).toMatchObject({ got: 2 });
  });

  test.each(["hang", "stop"])("is a WORKER error when Python does not answer in time: %s", async (name) => {
    const late = callPython("asked", name, [], { python, timeoutMs: 2000 });
    await expect(late).rejects.toMatchObject({ code: "WORKER", message: expect.stringContaining("2000 ms") });
  });

  test.each([
    ["is not there", "/nonexistent/python", "cannot be started (ENOENT)"],
    ["is a folder", tmpdir(), "cannot be started (EACCES)"],
    ["is another program", "/bin/false", "ended (with exit code 1) before the Quarry runtime was loaded"],
  ])("is an ENVIRONMENT error when the interpreter %s", async (_, executable, message) => {
    const call = callPython("asked", "echo", [1], { python: { ...python, executable } });
    await expect(call).rejects.toMatchObject({
      code: "ENVIRONMENT",
      message: `${executable} ${message}`,
      hint: expect.stringContaining("quarry setup"),
    });
  });

  test("is an ENVIRONMENT error when the interpreter lacks the runtime", async () => {
    const bare = { ...python, env: { ...python.env, PYTHONPATH: "" } };
    await expect(callPython("asked", "echo", [1], { python: bare })).rejects.toMatchObject({ code: "ENVIRONMENT" });
  });
});

describe("a checkpoint", () => {
  test("is described without loading its weights", async () => {
    expect(await inspectModel(join(folder, "model"), { python })).toMatchObject({
      architecture: "BertModel",
      dimension: 32,
      pooling: "mean",
      normalize: true,
      queryMaxLength: 96,
      bos: { text: "[CLS]", isAdded: true },
      eos: { text: "[SEP]", isAdded: true },
      paddingSide: "right",
      dtype: "float32",
    });
  });

  test("that is nowhere is a CONFIG error", async () => {
    await expect(inspectModel(join(folder, "nowhere"), { python })).rejects.toMatchObject({ code: "CONFIG" });
  });
});

test("encoders, poolings, losses and similarities are listed with their typed options", async () => {
  const { encoders, poolings, losses, retrievers, similarities } = await listRegistered({ python });
  const names = (found: readonly { name: string }[]): string[] => found.map(({ name }) => name).sort();
  // Quarry's own, which TypeScript knows without asking; whole retrievers are plugins' alone.
  expect([names(encoders), names(poolings), names(retrievers)]).toEqual([[...ENCODERS], POOLINGS.toSorted(), []]);
  const infonce = losses.find(({ name }) => name === "infonce");
  expect(infonce?.options).toContainEqual(
    expect.objectContaining({ name: "temperature", type: "float", default: 0.05, isRequired: false }),
  );
  expect(similarities.map(({ name }) => name)).toEqual([...SIMILARITIES]);
});

describe("quarry inspect", () => {
  const quarry = (...argv: string[]) => commandLine(["inspect", ...argv], { cwd: root });

  test("prints the contract in aligned lines and ends by itself, also when its stdin is closed", async () => {
    const { exitCode, stdout, stderr } = await execa(process.execPath, [main, "inspect", join(folder, "model")], {
      ...{ reject: false, stdin: "ignore" },
    });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(/^architecture {4}BertModel \(bert\)$/m);
    expect(stdout).toMatch(/^BOS {13}\[CLS\] \(id 2\), put before each text$/m);
    expect(stdout).toMatch(/^losses$/m);
    expect(stdout, "as a script has it").toMatch(/^ {4}inBatchNegatives \(boolean, default true\): /m);
    expect(stdout).toMatch(/^similarities$/m);
  });

  test("says that texts are put into a chat template, which has the special tokens where it wants them", async () => {
    const chat = join(folder, "chat");
    await cp(join(folder, "model"), chat, { recursive: true });
    const call = { method: "forward", method_output_name: "last_hidden_state" };
    const config = { modality_config: { text: call, message: { ...call, format: "flat" } } };
    await writeFile(join(chat, "sentence_bert_config.json"), JSON.stringify(config));
    const { stdout } = await quarry(chat);
    expect(stdout).toMatch(/^texts {11}in the chat template, prompts as its system's message$/m);
    expect(stdout).toMatch(/^BOS {13}\[CLS\] \(id 2\), where the chat template has it$/m);
    expect(stdout).toMatch(/^EOS {13}\[SEP\] \(id 3\), where the chat template has it$/m);
  });

  test("shows what a foreign checkpoint says of itself as one line of visible characters", async () => {
    const foreign = join(folder, "foreign");
    await cp(join(folder, "model"), foreign, { recursive: true });
    const config = JSON.parse(await readFile(join(foreign, "config.json"), "utf8"));
    config.architectures = ["Bert\u001b[31mModel\u001b]0;own\u0007\nfaults          none"];
    await writeFile(join(foreign, "config.json"), JSON.stringify(config));
    const { stdout } = await quarry(foreign);
    expect(stdout).toMatch(/^architecture {4}BertModel faults {10}none \(bert\)$/m);
    expect(stdout).not.toMatch(/[^\P{Cc}\n]/u);
  });

  test("lists what a plugin registers, and from which file", async () => {
    const plugin = join(folder, "mine.py");
    const code = [
      "from quarry_runtime.modeling.registry import register_loss, register_pooling",
      "@register_loss('my_loss')",
      "def my_loss(options):",
      '    """Mine alone."""',
      "@register_pooling('largest')",
      "def largest(hidden, mask): return hidden.amax(1)",
    ];
    await writeFile(plugin, code.join("\n"));
    const { stdout } = await quarry("--plugin", plugin);
    expect(stdout).toContain(`  my_loss (${plugin}): Mine alone.`);
    expect(stdout).toContain(`  largest (${plugin})`);
    expect(stdout).toMatch(/^retrievers\n {2}none$/m);
    await writeFile(plugin, "import quarry_runtime\n1 / 0\n");
    const { exitCode, stderr } = await quarry("--plugin", plugin);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`Plugin ${plugin}:2: ZeroDivisionError`);
  });

  test("runs a plugin that the checkpoint needs", async () => {
    const [plugin, model] = [join(folder, "pools.py"), join(folder, "pooled")];
    await cp(join(folder, "model"), model, { recursive: true });
    await writeFile(join(model, "quarry_encoder.json"), JSON.stringify({ pooling: "smallest" }));
    const register = "from quarry_runtime.modeling.registry import register_pooling\n";
    await writeFile(plugin, `${register}register_pooling("smallest")(lambda hidden, mask: hidden.amin(1))\n`);
    expect((await quarry(model)).stderr).toContain("No pooling is called 'smallest'");
    expect((await quarry(model, "--plugin", plugin)).stdout).toMatch(/^pooling {9}smallest, then length 1$/m);
  });

  test("writes JSON on request and nothing else", async () => {
    const { stdout } = await quarry(join(folder, "model"), "--json");
    expect(JSON.parse(stdout)).toMatchObject({
      model: { dimension: 32 },
      encoders: expect.any(Array),
      losses: expect.any(Array),
    });
  });

  test("of a model that is nowhere ends with status 2, one error and one hint", async () => {
    const { exitCode, stdout, stderr } = await quarry("no-such/model");
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(/^error: .*no-such\/model.*\nhint: .*$/);
  });
});
