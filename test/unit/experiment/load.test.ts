/** Experiment scripts are run as they are, and whatever is wrong with one is said with its file and line. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { QuarryError } from "../../../src/errors.js";
import { loadExperiment } from "../../../src/experiment/load.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-load-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let count = 0;
async function script(text: string, extension = "ts"): Promise<string> {
  count += 1;
  const file = join(folder, `script-${count}.${extension}`);
  await writeFile(file, text);
  return file;
}

async function failure(text: string, extension?: string): Promise<QuarryError> {
  const file = await script(text, extension);
  try {
    await loadExperiment(file);
  } catch (thrown) {
    if (!(thrown instanceof QuarryError)) throw thrown;
    return thrown;
  }
  throw new Error("was accepted");
}

const minimal = `{ name: "x", model: biEncoder("some/model"), evaluate: { data: source({ corpus: "c.jsonl", qrels: "q.tsv" }) } }`;
const head = `import { biEncoder, defineExperiment, source } from "quarry";\n`;

describe("a script", () => {
  test("whose path has a backslash is refused by that, not called missing", async () => {
    const message = expect.stringContaining("backslash") as string;
    expect(await failure(`export default ${minimal};`, "\\.ts")).toMatchObject({ code: "CONFIG", message });
  });

  test("in TypeScript exports an experiment, and paths start in its folder", async () => {
    const file = await script(
      `${head}const seed: number = await Promise.resolve(7);\nexport default defineExperiment({ ...${minimal}, seed });`,
    );
    const { config, baseDir } = await loadExperiment(file);
    expect(config.seed).toBe(7);
    expect(baseDir).toBe(folder);
  });

  test.each(["js", "mjs"])("may be JavaScript: .%s", async (extension) => {
    const { config } = await loadExperiment(
      await script(`${head}export default defineExperiment(${minimal});`, extension),
    );
    expect(config.name).toBe("x");
  });

  test("may be what a compiler made of one: what CommonJS exports is Node's default export", async () => {
    const file = await script(`${head}export default { default: defineExperiment(${minimal}) };`);
    expect((await loadExperiment(file)).config.name).toBe("x");
  });

  test.each([
    ["that is a folder", () => Promise.resolve(folder), /is no file$/],
    ["of another kind", () => script("name: x", "yaml"), /Unknown file extension/],
  ])("%s is refused with what is expected", async (_, file, message) => {
    const refused = loadExperiment(await file());
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toMatchObject({ hint: expect.stringContaining(".ts, .js or .mjs file") });
  });

  test("may import a file beside it", async () => {
    await writeFile(join(folder, "shared.ts"), `${head}export const model = biEncoder("shared/model");`);
    const file = await script(
      `${head}import { model } from "./shared";\nexport default defineExperiment({ ...${minimal}, model });`,
    );
    expect((await loadExperiment(file)).config.model.checkpoint).toBe("shared/model");
  });

  test("may export plain options, or a function that gives them", async () => {
    const plain = await script(`${head}export default ${minimal};`);
    const called = await script(`${head}export default async () => defineExperiment(${minimal});`);
    expect((await loadExperiment(plain)).config.name).toBe("x");
    expect((await loadExperiment(called)).config.name).toBe("x");
  });

  test("may name the folder in which paths start", async () => {
    const file = await script(`${head}export default defineExperiment(${minimal}, { baseDir: "/somewhere" });`);
    expect((await loadExperiment(file)).baseDir).toBe("/somewhere");
  });

  test("takes overrides", async () => {
    const file = await script(`${head}export default defineExperiment(${minimal});`);
    const { config } = await loadExperiment(file, [{ path: "evaluate.topK", value: "500" }]);
    expect(config.evaluate?.topK).toBe(500);
  });
});

describe("what is wrong with a script is a CONFIG error", () => {
  test("when it does not exist", async () => {
    await expect(loadExperiment(join(folder, "none.ts"))).rejects.toMatchObject({ code: "CONFIG" });
  });

  test("when it does not parse, with file and line", async () => {
    const error = await failure("const a = {\n  b: 1\n  c: 2,\n};\nexport default a;\n");
    expect(error.code).toBe("CONFIG");
    expect(error.message).toMatch(/script-\d+\.ts:3:\d+: Unexpected token, expected ","$/);
  });

  test("when it throws, with file and line", async () => {
    const error = await failure(`${head}\nconst settings = undefined;\nexport default settings.name;\n`);
    expect(error.message).toMatch(/script-\d+\.ts:4: Cannot read properties of undefined \(reading 'name'\)$/);
  });

  test.each([
    ["{ code: 3, why: 'because' }", "{ code: 3, why: 'because' }"],
    ["Object.create(null)", "[Object: null prototype] {}"],
    ["'so'", "so"],
  ])("when it throws what is no error: %s", async (thrown, told) => {
    const error = await failure(`throw ${thrown};`);
    expect(error.code).toBe("CONFIG");
    expect(error.message.endsWith(`.ts: ${told}`)).toBe(true);
  });

  test.each([
    ["at its top level", "await new Promise(() => {});\nexport default {};"],
    ["in the function that it exports", "export default () => new Promise(() => {});"],
  ])("when it waits %s for what never comes, and nothing keeps the process alive", async (_where, text) => {
    // As Node does once its loop is empty.
    const timer = setInterval(() => process.emit("beforeExit", 0), 50);
    const error = await failure(text).finally(() => clearInterval(timer));
    expect(error.code).toBe("CONFIG");
    expect(error.message).toMatch(/script-\d+\.ts waits for something that never comes$/);
  });

  test.each([
    [`import { difineExperiment } from "quarry";\nexport default difineExperiment({});`, "difineExperiment"],
    [`import { difineExperiment } from "quarry";\nexport default difineExperiment;`, "difineExperiment"],
    [`import * as quarry from "quarry";\nexport default quarry.defineExperment;`, "defineExperment"],
    [`import { defineExperment as define } from "quarry";\nexport default () => define({});`, "defineExperment"],
  ])("when it imports what Quarry does not have: %s", async (text, name) => {
    const error = await failure(text);
    const words = `\\.ts:2: quarry exports no ${name}; did you mean defineExperiment\\?$`;
    expect(error.message).toMatch(new RegExp(words));
    expect(error.hint).toContain("where it is imported");
  });

  test("when it imports what is like nothing that Quarry has", async () => {
    const error = await failure(`import { nothere } from "quarry";\nexport default nothere;`);
    expect(error.message).toMatch(/\.ts:2: quarry exports no nothere$/);
  });

  test("when it imports what is not there", async () => {
    const beside = await failure(`import { a } from "./nowhere.js";\nexport default a;\n`);
    expect(beside.message).toMatch(/script-\d+\.ts: cannot find \.\/nowhere\.js, which it imports$/);
    const packaged = await failure(`import { a } from "no-such-package";\nexport default a;\n`);
    expect(packaged.hint).toBe("npm install no-such-package");
  });

  test.each([
    ["export const a = 1;", "nothing"],
    ["export default 3;", "the number 3"],
    ["export default [];", "an empty list"],
    ["export default () => null;", "null"],
  ])("when it exports something else: %s", async (text, seen) => {
    expect((await failure(text)).message).toContain(`the default export is ${seen}, not an experiment`);
  });

  test("when an option is misspelt, with the very same error class as outside the script", async () => {
    const error = await failure(`${head}export default defineExperiment({ ...${minimal}, sed: 1 });`);
    expect(error).toBeInstanceOf(QuarryError);
    expect(error.message).toBe("sed: unknown option; did you mean seed?");
  });
});

test.each(["scifact", "mine-negatives", "quickstart"])("the example %s describes a valid experiment", async (name) => {
  const { config } = await loadExperiment(`examples/${name}.ts`);
  expect(config.model.kind).toBe("biEncoder");
});
