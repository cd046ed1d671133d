/** Writes the options of the schema as TypeScript interfaces for the editor and as tables for the documentation. */
import { readFile, writeFile } from "node:fs/promises";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { fieldsOf, isLoose, isMark, unwrap } from "../../src/experiment/shape.js";
import { type Group, groups } from "./groups.js";

/** Writes both files, or with `isCheck` only compares them. Gives the exit status. */
export async function writeOptions(isCheck: boolean): Promise<number> {
  const without = groups.flatMap(({ name, schema }) =>
    fieldsOf(schema).flatMap(([field, value]) =>
      isMark(field, [value]) || unwrap(value).sentence !== "" ? [] : [`${name}.${field}`],
    ),
  );
  if (without.length > 0) {
    say(`error: options without a sentence: ${without.join(", ")}`);
    say('hint: add .describe("…") in src/experiment/schema.ts');
    return 1;
  }
  const root = fileURLToPath(new URL("../..", import.meta.url));
  let isStale = false;
  for (const [file, text] of [
    ["src/experiment/options.generated.ts", interfaces()],
    ["docs/options.md", tables()],
  ] as const) {
    const path = `${root}${file}`;
    const present = await readFile(path, "utf8").catch(() => null);
    if (present === text) continue;
    isStale = true;
    if (isCheck) say(`${relative(root, path)} is out of date; run node scripts/gen-options.mjs`);
    else await writeFile(path, text);
  }
  return isCheck && isStale ? 1 : 0;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

function interfaces(): string {
  const head =
    "/** Options as the editor shows them. Written by scripts/gen-options.mjs from schema.ts; do not edit. */";
  const imports = [
    'import type { FunctionStep, Triplet, TripletGroup } from "./function-step.js";',
    'import type { LossInput } from "./loss-types.js";',
    'import type { PoolingName, TrainRetrieverInput } from "./plugin-types.js";',
  ];
  return [head, ...imports, "", ...groups.flatMap(interfaceOf)].join("\n");
}

function interfaceOf(group: Group): string[] {
  const { name, schema, sentence, builder } = group;
  // Written by hand in loss-types.ts and plugin-types.ts.
  if (isLoose(schema)) return [];
  const fields = fieldsOf(schema);
  const isFixed = (field: string): boolean => builder?.fixed.includes(field) ?? false;
  const own = fields.filter(([field]) => !isFixed(field)).flatMap(([field, value]) => member(field, value));
  if (builder === null) {
    return [`/** ${sentence} */`, `export interface ${name}Input {`, ...own, "}", ""];
  }
  const fixed = fields.filter(([field]) => isFixed(field)).flatMap(([field, value]) => member(field, value));
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

function member(name: string, schema: z.ZodType): string[] {
  const { isOptional, defaultValue, sentence } = unwrap(schema);
  const text = sentence === "" ? "Which builder made this." : sentence;
  const comment =
    defaultValue === undefined
      ? [`  /** ${text} */`]
      : ["  /**", `   * ${text}`, "   *", `   * @defaultValue \`${JSON.stringify(defaultValue)}\``, "   */"];
  return [...comment, `  ${name}${isOptional ? "?" : ""}: ${typeOf(schema)}${isOptional ? " | undefined" : ""};`];
}

function typeOf(schema: z.ZodType): string {
  const { core } = unwrap(schema);
  const either = (values: Iterable<unknown>): string => [...values].map((value) => JSON.stringify(value)).join(" | ");
  const named = core.meta()?.["type"];
  if (typeof named === "string") return named;
  if (core instanceof z.ZodString) return "string";
  if (core instanceof z.ZodNumber) return "number";
  if (core instanceof z.ZodBoolean) return "boolean";
  if (core instanceof z.ZodUnknown) return "unknown";
  if (core instanceof z.ZodLiteral) return either(core.values);
  if (core instanceof z.ZodEnum) return either(core.options);
  if (core instanceof z.ZodUnion) return core.options.map((option) => typeOf(option as z.ZodType)).join(" | ");
  if (core instanceof z.ZodRecord) return `Record<string, ${typeOf(core.valueType as z.ZodType)}>`;
  if (core instanceof z.ZodArray) {
    const element = typeOf(core.element as z.ZodType);
    return element.includes(" ") ? `readonly (${element})[]` : `readonly ${element}[]`;
  }
  // Two references mean the same group when they share a shape: `.describe()` makes a copy around it.
  const group = core instanceof z.ZodObject ? groups.find((one) => one.schema.def.shape === core.def.shape) : undefined;
  if (group === undefined)
    throw new Error(`no name for a ${core.def.type} of the schema; see scripts/options/groups.ts`);
  return `${group.name}Input`;
}

const introduction = `# Options

Written by \`scripts/gen-options.mjs\` from \`src/experiment/schema.ts\`; do not edit.

Every option can stand in the script or on the command line: \`--train.args.maxSteps 100\` (or \`--train.args.max-steps\`),
\`--train.dropout=false\` or \`--no-train.dropout\`, lists as \`--evaluate.measures nDCG@10,R@100\` or as JSON. Relative paths
start in the script's folder; runDir starts in the working folder.

Names from other tools are understood: measures (\`ndcg@10\`, \`ndcg_cut_10\`, \`mrr@10\`, \`recall@100\`, \`map@100\`), pooling
(\`lasttoken\`, \`cls_token\`), prompts (\`document\`, \`corpus\`), \`MultipleNegativesRankingLoss\` with its \`scale\`, and
snake_case TrainingArguments (\`learning_rate\`). That is so when a script runs and on the command line. The types, and so
\`tsc\` and the editor, know Quarry's own names, and of others only losses, \`biEncoder\`'s pooling and prompts, and
\`crossEncoder\`'s activation and dtype.
`;

function tables(): string {
  return [introduction, ...groups.flatMap(tableOf)].join("\n");
}

function tableOf({ title, schema, sentence }: Group): string[] {
  const cell = (text: string): string => text.replaceAll("|", "\\|");
  const rows = fieldsOf(schema)
    .filter(([field, value]) => !isMark(field, [value]))
    .map(([field, value]) => {
      const { isOptional, defaultValue, sentence: text } = unwrap(value);
      const none = isOptional ? "" : "required";
      const shown = defaultValue === undefined ? none : `\`${JSON.stringify(defaultValue)}\``;
      // That a list is only read matters to the compiler alone; what a function gives is written by hand.
      const type = typeOf(value).replaceAll(/(?<!, )readonly /g, "");
      return [`\`${field}\``, `\`${cell(type)}\``, cell(shown), cell(text)];
    });
  return [`## ${title}`, "", sentence, "", ...aligned([["option", "type", "default", ""], ...rows]), ""];
}

/** A table as the formatter of the checkout lays it out, so that formatting leaves the file as it is. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const columns = rows[0] ?? [];
  const widths = columns.map((_, column) => Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((text, at) => text.padEnd(widths[at] ?? 0)).join(" | ")} |`;
  const [head = [], ...body] = rows;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)];
}
