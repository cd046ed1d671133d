/** Export of a model: a plain folder for others, with a card, and a repository on the hub if asked. */
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { QuarryError } from "../errors.js";
import { modelSchema } from "../experiment/schema.js";
import { readJournal } from "../rundir/journal.js";
import { jsonOrNull } from "../rundir/jsonl.js";
import { commandContext } from "./compare.js";
import { toModelSpec } from "./model-spec.js";
import { inTemporaryFolder, runtimeAnswer } from "./runtime-command.js";

/** How a model is exported. */
export interface ExportOptions {
  /** A folder that is not there yet, or is empty. */
  readonly out: string;
  /** Puts an adapter into the weights of its base model. */
  readonly merge?: boolean;
  /** What weights are written in; default: what they are stored in. */
  readonly dtype?: "float32" | "bfloat16" | "float16";
  /** Repository on the hub that the folder is uploaded to. */
  readonly push?: string;
  /** A repository that is made for it is private. */
  readonly isPrivate?: boolean;
  /** Licence for the card's header, as the hub abbreviates it; default: what the model's own card says. */
  readonly license?: string;
  readonly signal?: AbortSignal;
}

/** What an export wrote. */
export interface ExportedModel {
  /** Absolute. */
  readonly folder: string;
  readonly fileCount: number;
  readonly bytes: number;
  /** The repository's address; null when nothing was pushed. */
  readonly url: string | null;
}

const answerSchema = z.object({ fileCount: z.int(), bytes: z.int(), url: z.string().nullable() });
const environmentSchema = z.looseObject({
  data: z.record(z.string(), z.string()).default({}),
  python: z.record(z.string(), z.string()).default({}),
  quarry: z.string().optional(),
  /** Where the experiment's relative paths begin, seen from the run folder. */
  baseDir: z.string().default("."),
});
const experimentSchema = z.looseObject({ model: modelSchema });

/** What the card tells of where a model comes from; read by py_runtime/quarry_runtime/modeling/card.py. */
interface Origin {
  /** Of the run; what the card and its code call the model is its repository, or the folder that it is exported to. */
  readonly name: string;
  /** The checkpoint that training began with. */
  readonly base: string | null;
  readonly experiment: unknown;
  readonly data: Readonly<Record<string, string>>;
  /** Values by data set and measure. */
  readonly measures: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly step: number | null;
  readonly versions: Readonly<Record<string, string>>;
}

/** See `exportModel` in pipeline/index.ts. */
export async function exportTrained(target: string, options: ExportOptions): Promise<ExportedModel> {
  const { checkpoint, runDir } = await findModel(target);
  const experiment = runDir === null ? null : experimentSchema.safeParse(await readJson(runDir, "experiment.json"));
  const model = experiment?.data?.model ?? modelSchema.parse({ kind: "biEncoder", checkpoint });
  const origin = runDir === null ? nowhere(checkpoint) : await originOf(runDir, checkpoint, model.checkpoint);
  const folder = resolve(options.out);
  const facts = { ...origin, title: options.push ?? basename(folder), license: options.license ?? null };
  const flags = [
    ...(options.merge ? ["--merge"] : []),
    ...(options.dtype === undefined ? [] : ["--dtype", options.dtype]),
    ...(options.push === undefined ? [] : ["--push", options.push]),
    ...(options.isPrivate ? ["--private"] : []),
  ];
  return inTemporaryFolder(async (temporary) => {
    const [spec, card] = [join(temporary, "spec.json"), join(temporary, "facts.json")];
    const modelled = { config: { model }, baseDir: runDir === null ? process.cwd() : await baseDirOf(runDir) };
    await writeFile(spec, JSON.stringify(toModelSpec(modelled, runDir === null ? undefined : checkpoint)));
    await writeFile(card, JSON.stringify(facts));
    const args = ["--spec", spec, "--facts", card, "--to", folder, ...flags];
    const purpose = "the model could not be exported";
    const answer = await runtimeAnswer(commandContext(options), "export-model", args, purpose);
    return { folder, ...answerSchema.parse(answer) };
  });
}

/** The checkpoint that is meant, and the run folder that it was trained in. */
async function findModel(target: string): Promise<{ readonly checkpoint: string; readonly runDir: string | null }> {
  const path = resolve(target);
  if (isRunDir(path)) {
    const checkpoint = await trainedIn(path);
    if (checkpoint !== null) return { checkpoint: join(path, checkpoint), runDir: path };
    throw new QuarryError("CONFIG", `${target} holds no finished training.`, {
      hint: `Name one of its checkpoints: ${join(target, "train", "checkpoint-<step>")}; or finish it: quarry train.`,
    });
  }
  if (!existsSync(path)) return { checkpoint: target, runDir: null };
  const above = dirname(dirname(path));
  const isTrained = basename(dirname(path)) === "train" && isRunDir(above);
  return { checkpoint: path, runDir: isTrained ? above : null };
}

const isRunDir = (path: string): boolean => existsSync(join(path, "journal.jsonl"));

/** The checkpoint that training ended with, relative to the run folder; null before that. */
async function trainedIn(runDir: string): Promise<string | null> {
  const done = z.looseObject({
    ...{ type: z.literal("stepDone"), step: z.literal("train") },
    result: z.looseObject({ checkpoint: z.string() }),
  });
  const entries = await readJournal(join(runDir, "journal.jsonl"));
  const found = entries.map((entry) => done.safeParse(entry).data).findLast((entry) => entry !== undefined);
  return found?.result.checkpoint ?? null;
}

/** A model that no run folder knows. */
function nowhere(checkpoint: string): Origin {
  const name = basename(checkpoint);
  return { name, base: null, experiment: null, data: {}, measures: {}, step: null, versions: {} };
}

async function originOf(runDir: string, checkpoint: string, base: string): Promise<Origin> {
  const environment = environmentSchema.safeParse(await readJson(runDir, "environment.json")).data;
  const label = basename(checkpoint);
  const step = /^checkpoint-(\d+)$/.exec(label)?.[1];
  return {
    name: basename(runDir),
    base,
    experiment: await readJson(runDir, "experiment.json"),
    data: environment?.data ?? {},
    measures: measuresOf(await readJson(runDir, "metrics.json"), label),
    step: step === undefined ? null : Number(step),
    versions: {
      ...(environment?.quarry === undefined ? {} : { quarry: environment.quarry }),
      ...environment?.python,
    },
  };
}

/** What evaluation found of this checkpoint: of one data set, or of each of a suite. */
function measuresOf(metrics: unknown, label: string): Origin["measures"] {
  const values = z.record(z.string(), z.number());
  const found = z.record(z.string(), z.unknown()).safeParse(metrics).data?.[`evaluate-${label}`];
  const one = values.safeParse(found);
  if (one.success) return { evaluation: one.data };
  return z.record(z.string(), values).safeParse(found).data ?? {};
}

/** The folder that relative paths of a run's experiment are seen from, such as those of its plugins. */
async function baseDirOf(runDir: string): Promise<string> {
  const environment = environmentSchema.safeParse(await readJson(runDir, "environment.json")).data;
  return resolve(runDir, environment?.baseDir ?? ".");
}

async function readJson(runDir: string, name: string): Promise<unknown> {
  return jsonOrNull(await readFile(join(runDir, name), "utf8").catch(() => ""));
}
