/** Writes the options of transformers' TrainingArguments for both languages from the installed package. */
import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { findPython, type PythonEnvironment } from "../../src/python/environment.js";
import { LEFT_OUT, REFUSED, SENTENCES } from "./training-args.js";

/** Fields that schema.ts lists itself, with Quarry's defaults. */
const OWN = [
  ...["max_steps", "num_train_epochs", "learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon"],
  ...["max_grad_norm", "lr_scheduler_type", "warmup_steps", "optim", "bf16", "fp16", "gradient_checkpointing"],
  ...["save_steps", "save_total_limit", "torch_compile", "fsdp"],
];

interface Field {
  readonly name: string;
  readonly types: readonly string[];
  readonly choices: readonly string[];
  readonly default: unknown;
}

interface Arguments {
  readonly version: string;
  readonly fields: readonly Field[];
  /** The keywords that are each learning rate schedule's own. */
  readonly schedules: Readonly<Record<string, readonly string[]>>;
}

/** Writes the files, or with `isCheck` only compares them. Gives the exit status. */
export async function writeTrainingArgs(isCheck: boolean): Promise<number> {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const python = await findPython();
  const found = readArguments(root, python);
  const { version } = found;
  const complaints = misplaced(found.fields);
  if (complaints.length > 0) {
    process.stderr.write(`${complaints.join("\n")}\nhint: see scripts/options/training-args.ts\n`);
    return 1;
  }
  let isStale = false;
  for (const [file, tool, text] of [
    ["src/experiment/training-args.generated.ts", biome(root), typescript(found)],
    ["py_runtime/quarry_runtime/training/refused_arguments.py", ruff(root, python), pythonTable()],
  ] as const) {
    const formatted = format(tool, file, text);
    const present = await readFile(`${root}${file}`, "utf8").catch(() => null);
    if (present === formatted) continue;
    isStale = true;
    if (isCheck) process.stderr.write(`${file} is not what transformers ${version} says; run node scripts/gen.mjs\n`);
    else await writeFile(`${root}${file}`, formatted);
  }
  return isCheck && isStale ? 1 : 0;
}

function readArguments(root: string, { executable, env }: PythonEnvironment): Arguments {
  const run = spawnSync(executable, [`${root}scripts/options/training_arguments.py`], { env, encoding: "utf8" });
  if (run.status !== 0) throw new Error(`TrainingArguments could not be read: ${run.stderr}`);
  return JSON.parse(run.stdout) as Arguments;
}

/** Fields with no place or more than one, and entries that name no field. */
function misplaced(fields: readonly Field[]): string[] {
  const names = new Set(fields.map(({ name }) => name));
  const places = [...OWN, ...Object.keys(SENTENCES), ...Object.keys(REFUSED)];
  return [
    ...[...names].filter((name) => !places.includes(name)).map((name) => `TrainingArguments.${name} has no place yet`),
    ...places.filter((name) => !names.has(name)).map((name) => `TrainingArguments has no ${name} any more`),
    ...places.filter((name, at) => places.indexOf(name) !== at).map((name) => `${name} stands in two places`),
  ];
}

function typescript({ version, fields, schedules }: Arguments): string {
  const choices = (name: string): string[] => {
    const all = fields.find((field) => field.name === name)?.choices ?? [];
    return all.filter((value) => !LEFT_OUT[name]?.includes(value));
  };
  const handedOn = fields.filter(({ name }) => name in SENTENCES);
  return `/**
 * Options of transformers' TrainingArguments beside those that schema.ts lists. Written by scripts/gen.mjs from
 * transformers ${version} and scripts/options/training-args.ts; do not edit.
 */
import { z } from "zod";

export const OPTIMIZERS = ${JSON.stringify(choices("optim"))} as const;

export const SCHEDULES = ${JSON.stringify(choices("lr_scheduler_type"))} as const;

/** What each schedule takes as lrSchedulerKwargs. */
export const SCHEDULE_KWARGS: Readonly<Record<(typeof SCHEDULES)[number], readonly string[]>> = {
${choices("lr_scheduler_type")
  .map((name) => `  ${name}: ${JSON.stringify(schedules[name])},`)
  .join("\n")}
};

export const furtherArgs = {
${handedOn.map((field) => `  ${camel(field.name)}: ${zodOf(field)}.optional().describe(${JSON.stringify(sentenceOf(field))}),`).join("\n")}
};

/** What is not taken, and what to do instead. */
export const REFUSED_ARGS: Readonly<Record<string, string>> = {
${Object.entries(REFUSED)
  .map(([name, why]) => `  ${camel(name)}: ${JSON.stringify(why)},`)
  .join("\n")}
};
`;
}

function pythonTable(): string {
  const byReason = new Map<string, string[]>();
  for (const [name, why] of Object.entries(REFUSED)) byReason.set(why, [...(byReason.get(why) ?? []), name]);
  return `"""Fields of TrainingArguments that are not taken, and what to do instead.

Written by scripts/gen.mjs from scripts/options/training-args.ts; do not edit.
"""

from typing import Final

_BY_REASON: Final[dict[str, list[str]]] = {
${[...byReason].map(([why, names]) => `    ${JSON.stringify(why)}: ${JSON.stringify(names)},`).join("\n")}
}

REFUSED: Final = {name: why for why, names in _BY_REASON.items() for name in names}
`;
}

/** Our sentence, and transformers' default where it says something and we have not said it. */
function sentenceOf(field: Field): string {
  const sentence = SENTENCES[field.name] ?? "";
  const value = field.default;
  if (value === null || value === "" || sentence.includes("default")) return sentence;
  return sentence.replace(/\.$/, `; default: ${typeof value === "string" ? value : JSON.stringify(value)}.`);
}

function zodOf({ types, name, choices }: Field): string {
  if (choices.length > 0) return `z.enum(${JSON.stringify(choices)})`;
  // JSON text stands for an object on a command line of theirs; Quarry reads its own.
  const hasObject = types.some((type) => type.startsWith("dict"));
  const found = types.filter((type) => !(hasObject && type === "str")).flatMap((type) => ZODS[type] ?? []);
  if (found.length === 0) throw new Error(`no schema for ${name}: ${types.join(" | ")}`);
  return found.length === 1 ? (found[0] as string) : `z.union([${found.join(", ")}])`;
}

const ZODS: Readonly<Record<string, string>> = {
  int: "z.int()",
  float: "z.number()",
  bool: "z.boolean()",
  str: "z.string()",
  "list[str]": "z.array(z.string())",
  dict: "z.record(z.string(), z.unknown())",
  "dict[str, Any]": "z.record(z.string(), z.unknown())",
};

function camel(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

type Tool = readonly [program: string, ...args: string[]];

const biome = (root: string): Tool => [`${root}node_modules/.bin/biome`, "format", "--stdin-file-path"];
const ruff = (root: string, { executable }: PythonEnvironment): Tool => [
  ...([executable, "-m", "ruff", "format", "--config"] as const),
  ...[`${root}py_runtime/pyproject.toml`, "--stdin-filename"],
];

/** As the formatter of the checkout lays it out, so that the format check and this one agree. */
function format([program, ...args]: Tool, file: string, text: string): string {
  const run = spawnSync(program, [...args, file], { input: text, encoding: "utf8" });
  if (run.status !== 0) throw new Error(`${file} could not be formatted: ${run.stderr}`);
  return run.stdout;
}
