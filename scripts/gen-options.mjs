/**
 * Writes src/experiment/options.generated.ts and docs/options.md from the schema.
 * `--check` writes nothing and exits with 1 when a file is out of date.
 */
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { createJiti } from "jiti";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const jiti = createJiti(import.meta.url, { fsCache: false });
const schema = await jiti.import(join(root, "src/experiment/schema.ts"));
const { unwrap, fieldsOf, isLoose } = await jiti.import(join(root, "src/experiment/shape.ts"));
const { z } = await jiti.import("zod");

/**
 * The groups, in the order of the documentation. `fixed` are set by the builder, so its options are an interface apart.
 * `path` is where a group stands in an experiment.
 */
const groups = [
  group("Experiment", schema.experimentSchema, "", "What a user writes: everything with a default may be left out."),
  group("Model", schema.modelSchema, "model", "A bi-encoder, as `biEncoder(checkpoint, options)` gives it.", {
    options: "BiEncoderOptions",
    fixed: ["kind", "checkpoint"],
  }),
  group(
    "Prompts",
    unwrap(schema.modelSchema.shape.prompts).core,
    "model.prompts",
    "Texts put in front of queries and passages.",
  ),
  group("Train", schema.trainSchema, "train", "How to train."),
  group("Binary", schema.binarySchema, "train.data", "Training data, as `binary({ … })` gives it.", {
    options: "BinaryOptions",
    fixed: ["kind"],
  }),
  group("MultiLevel", schema.multiLevelSchema, "train.data", "Training data, as `multiLevel({ … })` gives it.", {
    options: "MultiLevelOptions",
    fixed: ["kind"],
  }),
  group("Loss", schema.lossSchema, "train.loss", "A loss by name, with its own options beside it."),
  group(
    "TrainingArgs",
    schema.trainingArgsSchema,
    "train.args",
    "Options of transformers' TrainingArguments, in camelCase.",
  ),
  group("Source", schema.sourceSchema, "…data", "Passages, queries and judgements, as `source({ … })` gives them.", {
    options: "SourceOptions",
    fixed: ["kind"],
  }),
  group("Evaluate", schema.evaluateSchema, "evaluate", "What to evaluate on."),
  group("Mine", schema.mineSchema, "mine", "Which hard negatives to mine."),
  group("Encode", schema.encodeSchema, "encode", "What to encode."),
  group("Workers", schema.workersSchema, "workers", "The worker processes for inference."),
];

function group(name, schema, path, sentence, builder = null) {
  return { name, schema, path, sentence, builder };
}

/** Two references mean the same group when they share a shape: `.describe()` makes a copy around it. */
function nameOf(core) {
  const found = groups.find((candidate) => candidate.schema.def.shape === core.def.shape);
  if (found === undefined) throw new Error("a group of options has no name in scripts/gen-options.mjs");
  return `${found.name}Input`;
}

function typeOf(schema) {
  const { core } = unwrap(schema);
  if (core instanceof z.ZodString) return "string";
  if (core instanceof z.ZodNumber) return "number";
  if (core instanceof z.ZodBoolean) return "boolean";
  if (core instanceof z.ZodUnknown) return "unknown";
  if (core instanceof z.ZodLiteral) return [...core.values].map((value) => JSON.stringify(value)).join(" | ");
  if (core instanceof z.ZodEnum) return core.options.map((value) => JSON.stringify(value)).join(" | ");
  if (core instanceof z.ZodUnion) return core.options.map(typeOf).join(" | ");
  if (core instanceof z.ZodRecord) return `Record<string, ${typeOf(core.valueType)}>`;
  if (core instanceof z.ZodObject) return nameOf(core);
  if (core instanceof z.ZodArray) {
    const element = typeOf(core.element);
    return element.includes(" ") ? `(${element})[]` : `${element}[]`;
  }
  throw new Error(`scripts/gen-options.mjs cannot write the type of a ${core.def.type}`);
}

const missing = [];

function sentenceOf(owner, name, schema) {
  const { sentence } = unwrap(schema);
  if (sentence === "" && name !== "kind") missing.push(`${owner}.${name}`);
  return sentence || "Which builder made this.";
}

function member(owner, name, schema) {
  const { isOptional, defaultValue } = unwrap(schema);
  const sentence = sentenceOf(owner, name, schema);
  const type = typeOf(schema);
  const comment =
    defaultValue === undefined
      ? [`  /** ${sentence} */`]
      : ["  /**", `   * ${sentence}`, "   *", `   * @defaultValue \`${JSON.stringify(defaultValue)}\``, "   */"];
  return [...comment, `  ${name}${isOptional ? "?" : ""}: ${type}${isOptional ? " | undefined" : ""};`];
}

function interfaces({ name, schema, sentence, builder }) {
  const fields = fieldsOf(schema);
  const isFixed = (field) => builder?.fixed.includes(field) ?? false;
  const own = fields.filter(([field]) => !isFixed(field)).flatMap(([field, value]) => member(name, field, value));
  const rest = isLoose(schema)
    ? ["  /** Options of its own, checked when it is made. */", "  [option: string]: unknown;"]
    : [];
  if (builder === null) return [`/** ${sentence} */`, `export interface ${name}Input {`, ...own, ...rest, "}", ""];
  const fixed = fields.filter(([field]) => isFixed(field)).flatMap(([field, value]) => member(name, field, value));
  return [
    `/** ${sentence.replace(/, as .*$/, ".")} */`,
    `export interface ${builder.options} {`,
    ...own,
    "}",
    "",
    `/** ${sentence} */`,
    `export interface ${name}Input extends ${builder.options} {`,
    ...fixed,
    "}",
    "",
  ];
}

function table({ name, schema, path, sentence }) {
  const rows = fieldsOf(schema)
    .filter(([field]) => field !== "kind")
    .map(([field, value]) => {
      const { isOptional, defaultValue } = unwrap(value);
      const shown = defaultValue === undefined ? (isOptional ? "" : "required") : `\`${JSON.stringify(defaultValue)}\``;
      const cell = (text) => text.replaceAll("|", "\\|");
      return `| \`${field}\` | \`${cell(typeOf(value))}\` | ${cell(shown)} | ${cell(sentenceOf(name, field, value))} |`;
    });
  const title =
    path === "" ? "The experiment" : path === "train.data" ? `${path}: ${name[0].toLowerCase()}${name.slice(1)}` : path;
  return [`## ${title}`, "", sentence, "", "| option | type | default | |", "|---|---|---|---|", ...rows, ""];
}

const options = [
  "/** Options as the editor shows them. Written by scripts/gen-options.mjs from schema.ts; do not edit. */",
  "",
  ...groups.flatMap(interfaces),
].join("\n");

const docs = [
  "# Options",
  "",
  "Written by `scripts/gen-options.mjs` from `src/experiment/schema.ts`; do not edit.",
  "",
  "Every option can stand in the script or on the command line: `--train.args.maxSteps 100`, `--train.dropout=false` or",
  "`--no-train.dropout`, lists as `--evaluate.measures nDCG@10,R@100` or as JSON. Relative paths start in the script's folder.",
  "A dash for each capital is fine too: `--train.args.max-steps 100`.",
  "",
  "Names from other tools are understood: measures (`ndcg@10`, `ndcg_cut_10`, `mrr@10`, `recall@100`, `map@100`), pooling",
  "(`lasttoken`, `cls_token`), prompts (`document`, `corpus`), `MultipleNegativesRankingLoss` with its `scale`, and snake_case",
  "TrainingArguments (`learning_rate`).",
  "",
  ...groups.flatMap(table),
].join("\n");

if (missing.length > 0) {
  console.error(
    `error: options without a sentence: ${missing.join(", ")}\nhint: add .describe("…") in src/experiment/schema.ts`,
  );
  process.exit(1);
}

let isStale = false;
for (const [path, text] of [
  [join(root, "src/experiment/options.generated.ts"), options],
  [join(root, "docs/options.md"), docs],
]) {
  const present = await readFile(path, "utf8").catch(() => null);
  if (present === text) continue;
  if (process.argv.includes("--check")) {
    isStale = true;
    console.error(`${relative(root, path)} is out of date; run node scripts/gen-options.mjs`);
  } else {
    await writeFile(path, text);
    console.log(`wrote ${relative(root, path)}`);
  }
}
process.exitCode = isStale ? 1 : 0;
