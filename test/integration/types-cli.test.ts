/** `quarry types`: with the file that it writes a wrong option of a user's own component does not compile. */
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { commandLine } from "../fixtures/command-line.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

const plugin = `
from typing import Annotated, Literal
import msgspec
from torch import nn
from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.registry import (
    register_encoder, register_loss, register_pooling, register_retriever,
)

class MyOptions(msgspec.Struct):
    margin: Annotated[float, msgspec.Meta(description="How far apart.")]
    label_scale: float = 1.5
    mode: Literal["hard", "soft"] | None = None
    limit: float = float("inf")

@register_loss("my_loss", MyOptions)
class MyLoss(nn.Module):
    """Mine."""

@register_encoder("my_encoder", MyOptions)
class MyEncoder(Encoder):
    """Mine, too."""

@register_pooling("largest")
def largest(hidden, mask):
    return hidden.amax(1)

@register_retriever("whole")
class Whole(nn.Module):
    pass
`;

const script = (loss: string, model = "", retriever = ""): string => `
import { biEncoder, binary, defineExperiment, source } from "quarry";
export default defineExperiment({
  name: "typed",
  model: biEncoder("m", { plugins: ["my.py"], ${model} }),
  train: { data: binary({ positives: source({ corpus: "c", qrels: "q" }) }), loss: ${loss}, ${retriever} },
});
`;

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-types-"));
  await mkdir(join(folder, "node_modules"));
  await symlink(root, join(folder, "node_modules/quarry"));
  await writeFile(join(folder, "my.py"), plugin);
  await writeFile(join(folder, "experiment.ts"), script('{ name: "my_loss", margin: 1 }'));
  const compilerOptions = { strict: true, module: "nodenext", target: "es2022", noEmit: true, skipLibCheck: true };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions }));
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("what a plugin registers is written down with types, defaults, sentences and the plugin's file", async () => {
  const { stdout, stderr, exitCode } = await commandLine(["types", "experiment.ts"], { cwd: folder });
  expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
  expect(stdout).toBe("quarry-plugins.d.ts: my_encoder, largest, my_loss, whole");
  const written = await readFile(join(folder, "quarry-plugins.d.ts"), "utf8");
  expect(written).toMatchInlineSnapshot(`
    "/** What plugins register, for the compiler and the editor. Written by \`quarry types\`; do not edit. */
    import "quarry";

    declare module "quarry" {
      interface LossOptions {
        /** Mine. (my.py) */
        my_loss: {
          /** How far apart. */
          margin: number;
          /** @defaultValue 1.5 */
          labelScale?: number | undefined;
          /** @defaultValue null */
          mode?: "hard" | "soft" | null | undefined;
          /** @defaultValue inf */
          limit?: number | undefined;
        };
      }
      interface EncoderOptions {
        /** Mine, too. (my.py) */
        my_encoder: {
          /** How far apart. */
          margin: number;
          /** @defaultValue 1.5 */
          labelScale?: number | undefined;
          /** @defaultValue null */
          mode?: "hard" | "soft" | null | undefined;
          /** @defaultValue inf */
          limit?: number | undefined;
        };
      }
      interface PoolingOptions {
        /** largest (my.py) */
        largest: Record<string, never>;
      }
      interface RetrieverOptions {
        /** whole (my.py) */
        whole: Record<never, never>;
      }
    }
    "
  `);
});

const cases: readonly [name: string, script: string, error: string | null][] = [
  ["a right loss", script('{ name: "my_loss", margin: 1, labelScale: 2, mode: "soft" }'), null],
  ["a right encoder", script("{}", 'encoder: "my_encoder", encoderOptions: { margin: 1 }, pooling: "largest"'), null],
  ["a right retriever", script('{ name: "infonce", temperature: 0.1 }', "", 'retriever: { name: "whole" }'), null],
  ["a misspelt option", script('{ name: "my_loss", margin: 1, labelScal: 1 }'), "labelScal"],
  ["an option that is missing", script('{ name: "my_loss" }'), 'name: "my_loss"; }'],
  ["an option of the wrong type", script('{ name: "my_loss", margin: "w" }'), "margin: string"],
  ["none of the known values", script('{ name: "my_loss", margin: 1, mode: "sort" }'), "sort"],
  ["an option of another loss", script('{ name: "kl", scale: 1 }'), "scale"],
  ["a loss that nobody registers", script('{ name: "my_los", margin: 1 }'), "PluginLoss"],
  [
    "a misspelt option of an encoder",
    script("{}", 'encoder: "my_encoder", encoderOptions: { margin: 1, labelScal: 1 }'),
    "labelScal",
  ],
  ["an encoder without the options that it needs", script("{}", 'encoder: "my_encoder"'), "encoderOptions"],
  ["an encoder that nobody registers", script("{}", 'encoder: "my_encodr"'), "my_encodr"],
  ["a pooling that nobody registers", script("{}", 'pooling: "larges"'), "larges"],
  ["an option that a retriever does not have", script("{}", "", 'retriever: { name: "whole", size: 1 }'), "size"],
];

test("scripts that are right compile, and wrong names, options and values do not", async () => {
  for (const [index, [, text]] of cases.entries()) await writeFile(join(folder, `case-${index}.ts`), text);
  // One run of the compiler for all: it takes a second each.
  const { stdout } = await execa(join(root, "node_modules/.bin/tsc"), ["-p", folder], { reject: false });
  for (const [index, [name, , error]] of cases.entries()) {
    const told = stdout.split("\n").filter((line) => line.includes(`case-${index}.ts(`));
    if (error === null) expect(told, name).toEqual([]);
    else expect(told.join("\n"), name).toContain(error);
  }
});

test("without a plugin the command says how to name one, with status 2", async () => {
  const { stderr, exitCode } = await commandLine(["types"], { cwd: folder });
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(/no plugin is named\nhint: .*--plugin/);
});

test("plugins of models that mine are seen as well, and folders on the way to the file are made", async () => {
  await writeFile(
    join(folder, "mining.ts"),
    `import { biEncoder, binary, defineExperiment, source } from "quarry";
     const judged = source({ corpus: "c", qrels: "q" });
     const retrievers = [{ model: biEncoder("m", { plugins: ["my.py"] }) }];
     export default defineExperiment({ name: "mining", model: biEncoder("m"),
       train: { data: binary({ positives: judged, negatives: judged, negativesPerQuery: 1 }), args: { maxSteps: 8 },
         refresh: { everySteps: 2, mine: { retrievers } } } });`,
  );
  const types = (out: string) => commandLine(["types", "mining.ts", "--out", out], { cwd: folder });
  const { stdout, stderr } = await types("made/for/it.d.ts");
  expect({ stdout, stderr }).toEqual({ stdout: "made/for/it.d.ts: my_encoder, largest, my_loss, whole", stderr: "" });
  expect(await readFile(join(folder, "made/for/it.d.ts"), "utf8")).toContain("my_loss: {");
  const refused = await types("made");
  expect(refused.stderr).toMatch(/^error: --out: made cannot be written: it is a folder\.\nhint: Name a file/);
  expect(refused.exitCode).toBe(2);
  await symlink("ring", join(folder, "ring"));
  for (const [out, code] of [
    [`${"x".repeat(300)}.d.ts`, "ENAMETOOLONG"],
    ["ring", "ELOOP"],
  ] as const) {
    const { stderr, exitCode } = await types(out);
    expect(stderr).toContain(`--out: ${out} cannot be written: ${code}`);
    expect(exitCode).toBe(2);
  }
});

test("a disk that is full is told as that", async () => {
  const { stderr, exitCode } = await commandLine(["types", "experiment.ts", "--out", "/dev/full"], { cwd: folder });
  expect(stderr).toMatch(/^error: --out: \/dev\/full cannot be written: ENOSPC.*\nhint: Free some space/);
  expect(exitCode).toBe(4);
});

test("a plugin that registers nothing is told as such", async () => {
  await writeFile(join(folder, "empty.py"), "LUCK = 1\n");
  const { stdout } = await commandLine(["types", "--plugin", "empty.py", "--out", "empty.d.ts"], { cwd: folder });
  expect(stdout).toBe("empty.d.ts: no types, for the plugins register nothing");
});
