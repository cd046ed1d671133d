/**
 * Writes the table of losses and their types from what the Python runtime registers.
 *
 * `node scripts/gen-losses.mjs` writes them; with `--check` nothing is written and the status is 1 when a committed file
 * differs. It needs the Python environment; where there is none, a check says nothing: `npm test` has one.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createJiti } from "jiti";

const root = fileURLToPath(new URL("../", import.meta.url));
const isCheck = process.argv.includes("--check");
const { findPython } = await createJiti(import.meta.url).import("../src/python/environment.ts");
const python = await findPython().catch(() => undefined);

const camel = (name) => name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase());

/** The TypeScript type of a JSON Schema node; an unknown construct is refused, never guessed at. */
function typeOf(schema) {
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeOf).join(" | ");
  if (schema.type === "number" || schema.type === "integer") return "number";
  if (schema.type === "boolean" || schema.type === "string") return schema.type;
  if (schema.type === "array") return `(${typeOf(schema.items)})[]`;
  throw new Error(`no TypeScript type for ${JSON.stringify(schema)}`);
}

/** Without null: in TypeScript an option that is left out stands for it. */
function withoutNull({ description: _description, title: _title, default: _default, ...schema }) {
  if (schema.anyOf === undefined) return schema;
  const others = schema.anyOf.filter((each) => each.type !== "null");
  return others.length === 1 ? others[0] : { anyOf: others };
}

function member({ name, schema, default: value, isRequired, sentence }) {
  const text =
    value === null
      ? [`  /** ${sentence} */`]
      : ["  /**", `   * ${sentence}`, "   *", `   * @defaultValue \`${JSON.stringify(value)}\``, "   */"];
  const mark = isRequired ? "" : "?";
  const type = typeOf(withoutNull(schema));
  return [...text, `  ${camel(name)}${mark}: ${type}${isRequired ? "" : " | undefined"};`].join("\n");
}

function outputs({ losses, ownPassages }) {
  const table = Object.fromEntries(
    losses.map(({ name, options }) => [
      name,
      Object.fromEntries(options.map((option) => [camel(option.name), withoutNull(option.schema)])),
    ]),
  );
  const note = "Written by scripts/gen-losses.mjs from the Python registry; do not edit.";
  const interfaces = losses.map(
    ({ name, sentence, options }) => `/** ${sentence} */\n${name}: {\n${options.map(member).join("\n")}\n};`,
  );
  return {
    "src/experiment/losses.generated.ts": `/** The losses that come with Quarry, with what each option takes. ${note} */\nimport type { LossTable } from "./losses.js";\n\nexport const LOSSES: LossTable = ${JSON.stringify(table)};\n\n/** Losses that look at a query's own passages alone, with the options that make them so; it follows from what each declares. */\nexport const OF_OWN_PASSAGES: Readonly<Record<string, Readonly<Record<string, boolean>>>> = ${JSON.stringify(ownPassages)};\n`,
    "src/experiment/loss-options.generated.ts": `/** Options of each loss by its name. ${note} */\n\n/** Losses that come with Quarry, with their options. */\nexport interface BuiltInLossOptions {\n${interfaces.join("\n")}\n}\n`,
  };
}

function formatted(path, content) {
  const result = spawnSync(`${root}node_modules/.bin/biome`, ["format", `--stdin-file-path=${path}`], {
    cwd: root,
    input: content,
    encoding: "utf8",
  });
  if (result.status !== 0) throw new Error(`biome could not format ${path}: ${result.stderr}`);
  return result.stdout;
}

/** Each loss is made with its defaults, and with each of its switches turned: which of them see other queries' passages? */
const SCRIPT = `
import json
from quarry_runtime.inspect import registered
from quarry_runtime.modeling import registry
from quarry_runtime.training.objective import Objective, Term

def is_own(entry, options):
    return not Objective([Term(entry.make(entry.parse(options)))]).compares_queries

def turned(entry):
    switches = [{each.name: not each.default} for each in entry.options() if isinstance(each.default, bool)]
    return [{}, *switches]

found = ((name, next((o for o in turned(entry) if is_own(entry, o)), None)) for name, entry in registry.registered("loss").items())
own = {name: options for name, options in found if options is not None}
print(json.dumps({"losses": registered()["losses"], "ownPassages": own}))
`;

function registered() {
  const result = spawnSync(python.executable, ["-c", SCRIPT], { env: python.env, encoding: "utf8" });
  if (result.status !== 0) throw new Error(`${python.executable} could not list the losses: ${result.stderr}`);
  const { losses, ownPassages } = JSON.parse(result.stdout.trim().split("\n").at(-1));
  const named = ([name, options]) => [
    name,
    Object.fromEntries(Object.entries(options).map(([option, value]) => [camel(option), value])),
  ];
  return { losses, ownPassages: Object.fromEntries(Object.entries(ownPassages).map(named)) };
}

if (python === undefined) {
  console.error("losses are not compared: no Python environment (QUARRY_PYTHON, .python)");
  process.exitCode = isCheck ? 0 : 1;
} else {
  for (const [path, content] of Object.entries(outputs(registered()))) {
    const file = new URL(`../${path}`, import.meta.url);
    const wanted = formatted(path, content);
    if (existsSync(file) && readFileSync(file, "utf8") === wanted) continue;
    if (isCheck) {
      console.error(`${path} is not what the Python registry says; run: node scripts/gen-losses.mjs`);
      process.exitCode = 1;
    } else {
      writeFileSync(file, wanted);
      console.log(`wrote ${path}`);
    }
  }
}
