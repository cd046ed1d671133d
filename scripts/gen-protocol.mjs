/**
 * Writes the JSON Schema and the Python Structs of the wire from src/protocol/messages.ts.
 *
 * `node scripts/gen-protocol.mjs` writes them; with `--check` nothing is written and the status is 1 when a committed
 * file differs from what the source says.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createJiti } from "jiti";
import { z } from "zod";

const root = new URL("../", import.meta.url);
const jiti = createJiti(import.meta.url);
const messages = await jiti.import("../src/protocol/messages.ts");
const { PROTOCOL_VERSION } = await jiti.import("../src/protocol/version.ts");
const { EXIT_STATUS } = await jiti.import("../src/errors.ts");

const capitalised = (text) => text[0].toUpperCase() + text.slice(1);
const option = (union, tag, value) => union.options.find((each) => each.shape[tag].value === value);

/** Every object of the wire by its Python class name; nested ones before those that contain them. */
const classes = new Map([
  ["TensorSpec", messages.tensorSpec],
  ["AdapterSpec", messages.adapterSpec],
  ["PluginFile", messages.pluginFile],
  ["ModelSpec", messages.modelSpec],
  ["ModelContract", messages.modelContract],
  ["CrossEncoderSpec", messages.crossEncoderSpec],
  ["CrossEncoderContract", messages.crossEncoderContract],
  ["ErrorInfo", messages.errorInfo],
  ["Scoring", option(messages.task, "kind", "search").shape.scoring],
  ["MatryoshkaSpec", messages.lossSpec.shape.matryoshka.unwrap()],
  ["LossSpec", messages.lossSpec],
  ["RetrieverSpec", messages.retrieverSpec],
  ...messages.task.options.map((each) => [`${capitalised(each.shape.kind.value)}Task`, each]),
  ["SnapshotUnit", option(messages.upMessage, "type", "snapshot").shape.units.def.element],
  ["ProbedSize", option(messages.upMessage, "type", "probed").shape.sizes.def.element],
  ["ModelFile", option(messages.downMessage, "type", "files").shape.files.def.element],
  ["WorkerRow", option(messages.downMessage, "type", "controlled").shape.workers.def.element],
]);
const tasks = messages.task.options.map((each) => `${capitalised(each.shape.kind.value)}Task`);
const ups = messages.upMessage.options.map((each) => capitalised(each.shape.type.value));
const downs = messages.downMessage.options.map((each) => capitalised(each.shape.type.value));
for (const each of [...messages.upMessage.options, ...messages.downMessage.options]) {
  classes.set(capitalised(each.shape.type.value), each);
}

function jsonSchema() {
  const registry = z.registry();
  for (const [id, schema] of classes) registry.add(schema, { id });
  registry.add(messages.task, { id: "Task" });
  registry.add(messages.upMessage, { id: "UpMessage" });
  registry.add(messages.downMessage, { id: "DownMessage" });
  const { schemas } = z.toJSONSchema(registry, { uri: (id) => `#/$defs/${id}` });
  const definitions = Object.fromEntries(
    Object.entries(schemas).map(([id, { $schema: _schema, $id: _id, ...rest }]) => [id, rest]),
  );
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $comment: "Written by scripts/gen-protocol.mjs from src/protocol/messages.ts; do not edit.",
    protocolVersion: PROTOCOL_VERSION,
    $defs: definitions,
  };
}

/** Constraints that recur, under the names they have in messages.ts. */
const ALIASES = {
  Count: { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
  Row: { type: "integer", minimum: 0, maximum: 0x7fffffff },
  Name: { type: "string", minLength: 1, maxLength: 256 },
  Text: { type: "string", maxLength: 65_536 },
  Path: { type: "string", minLength: 1, maxLength: 4_096 },
};
const META = {
  minimum: "ge",
  maximum: "le",
  minLength: "min_length",
  maxLength: "max_length",
  minItems: "min_length",
  maxItems: "max_length",
};

function constrained(type, schema) {
  const meta = Object.entries(META).flatMap(([key, name]) => (key in schema ? [`${name}=${schema[key]}`] : []));
  return meta.length === 0 ? type : `Annotated[${type}, Meta(${meta.join(", ")})]`;
}

/** The Python type of a JSON Schema node; an unknown construct is refused, never guessed at. */
function pythonType(schema) {
  const same = JSON.stringify(Object.entries(schema).sort());
  for (const [alias, constraint] of Object.entries(ALIASES)) {
    if (JSON.stringify(Object.entries(constraint).sort()) === same) return alias;
  }
  if (schema.$ref !== undefined) return schema.$ref.replace("#/$defs/", "");
  if ("const" in schema) return `Literal[${JSON.stringify(schema.const)}]`;
  if (schema.enum !== undefined) return `Literal[${schema.enum.map((each) => JSON.stringify(each)).join(", ")}]`;
  if (schema.anyOf !== undefined) return schema.anyOf.map(pythonType).join(" | ");
  if (Array.isArray(schema.type)) return schema.type.map((type) => pythonType({ type })).join(" | ");
  if (schema.type === "null") return "None";
  if (schema.type === "boolean") return "bool";
  if (schema.type === "number") return "float";
  if (schema.type === "integer") return constrained("int", schema);
  if (schema.type === "string") return constrained("str", schema);
  if (schema.type === "array") return constrained(`list[${pythonType(schema.items)}]`, schema);
  if (schema.type === "object" && schema.additionalProperties !== undefined && schema.properties === undefined) {
    const isAny = Object.keys(schema.additionalProperties).length === 0;
    return `dict[str, ${isAny ? "Any" : pythonType(schema.additionalProperties)}]`;
  }
  throw new Error(`no Python type for ${JSON.stringify(schema)}`);
}

const snake = (camel) => camel.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function pythonField(key, schema) {
  if (key === "v") return `    v: Literal[${PROTOCOL_VERSION}] = PROTOCOL_VERSION`;
  const line = `    ${snake(key)}: ${pythonType(schema)}`;
  if (line.length <= 100) return line;
  // Only long enumerations get here; this is how ruff breaks them.
  const [, name, values] = /^ {4}(\w+): Literal\[(.*)\]$/.exec(line);
  const broken = values.split(", ").map((value) => `        ${value},`);
  return [`    ${name}: Literal[`, ...broken, "    ]"].join("\n");
}

function pythonStruct(name, schema) {
  const tag = ["type", "kind"].find((key) => schema.properties[key] !== undefined);
  const options = [
    ...(tag === undefined ? [] : [`tag_field="${tag}"`, `tag="${schema.properties[tag].const}"`]),
    "frozen=True",
    "kw_only=True",
    "forbid_unknown_fields=True",
    'rename="camel"',
  ];
  const head = `class ${name}(Struct, ${options.join(", ")}):`;
  const lines =
    head.length <= 100 ? [head] : [`class ${name}(`, "    Struct,", ...options.map((each) => `    ${each},`), "):"];
  const fields = Object.entries(schema.properties).filter(([key]) => key !== tag);
  const direction = ups.includes(name) ? "up" : downs.includes(name) ? "down" : null;
  const title =
    direction === null ? `\`${name}\` of messages.ts.` : `\`${schema.properties.type.const}\`, ${direction}.`;
  return [...lines, `    """${title}"""`, "", ...fields.map(([key, each]) => pythonField(key, each))].join("\n");
}

function union(name, members) {
  const line = `${name} = ${members.join(" | ")}`;
  return line.length <= 100 ? line : `${name} = (\n    ${members.join("\n    | ")}\n)`;
}

function python(definitions) {
  const structs = [...classes.keys()];
  const lastTask = structs.indexOf(tasks.at(-1));
  return `"""Every message on the wire, written by scripts/gen-protocol.mjs; do not edit.

src/protocol/messages.ts is the source and says what each message means. \`up\` is worker or rank to
orchestrator, \`down\` the other way. Attributes are the wire's names in snake_case.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

PROTOCOL_VERSION: Final = ${PROTOCOL_VERSION}

EXIT_STATUS: Final[dict[str, int]] = {
${Object.entries(EXIT_STATUS)
  .map(([code, status]) => `    "${code}": ${status},`)
  .join("\n")}
}

${Object.entries(ALIASES)
  .map(([alias, schema]) => `${alias} = ${constrained(schema.type === "integer" ? "int" : "str", schema)}`)
  .join("\n")}


${structs
  .slice(0, lastTask + 1)
  .map((name) => pythonStruct(name, definitions[name]))
  .join("\n\n\n")}


${union("Task", tasks)}


${structs
  .slice(lastTask + 1)
  .map((name) => pythonStruct(name, definitions[name]))
  .join("\n\n\n")}


${union("UpMessage", ups)}

${union("DownMessage", downs)}
`;
}

const schema = jsonSchema();
const outputs = {
  "src/protocol/messages.schema.json": `${JSON.stringify(schema)}\n`,
  "py_runtime/quarry_runtime/protocol/messages.py": python(schema.$defs),
};
// Biome lays out the JSON as it lays out every other file, so that the format check and this one agree.
const biome = new URL("node_modules/.bin/biome", root).pathname;
for (const [path, content] of Object.entries(outputs)) {
  if (!path.endsWith(".json")) continue;
  const formatted = spawnSync(biome, ["format", `--stdin-file-path=${path}`], {
    cwd: root,
    input: JSON.stringify(JSON.parse(content), null, 2),
    encoding: "utf8",
  });
  if (formatted.status !== 0) throw new Error(`biome could not format ${path}: ${formatted.stderr}`);
  outputs[path] = formatted.stdout;
}

const isCheck = process.argv.includes("--check");
let driftCount = 0;
for (const [path, content] of Object.entries(outputs)) {
  const file = new URL(path, root);
  let present = null;
  try {
    present = readFileSync(file, "utf8");
  } catch {
    // A missing file has drifted like any other.
  }
  if (present === content) continue;
  driftCount += 1;
  if (isCheck) console.error(`${path} is not what src/protocol/messages.ts says; run: node scripts/gen-protocol.mjs`);
  else {
    writeFileSync(file, content);
    console.log(`wrote ${path}`);
  }
}
process.exitCode = isCheck && driftCount > 0 ? 1 : 0;
