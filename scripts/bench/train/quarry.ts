/** Quarry's side: an experiment on a made collection, trained through the real command line. */
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import type { QuarryEvent } from "../../../src/report/events.js";
import { ROOT } from "../shared/command.js";
import type { Context } from "../shared/context.js";
import type { RivalOptions } from "./rival.js";

const HERE = dirname(fileURLToPath(import.meta.url));
export const [TEMPERATURE, LEARNING_RATE] = [0.05, 2e-5];
const SEED = 1;

/** What is trained on what. */
export interface Training {
  readonly model: string;
  /** Holds corpus.jsonl, queries.jsonl, qrels/train.tsv and negatives.tsv. */
  readonly collection: string;
  readonly cacheDir: string;
  /** Queries of a step, over all ranks. */
  readonly queries: number;
  readonly negatives: number;
  readonly queryLength: number;
  readonly passageLength: number;
  readonly steps: number;
  readonly threads: number;
  readonly ranks: number;
  readonly device: string;
  readonly bf16: boolean;
}

/** The experiment's options; `isGated` puts the clock into its loss. */
export function experimentOf(training: Training, isGated: boolean) {
  const texts = {
    corpus: join(training.collection, "corpus.jsonl"),
    queries: join(training.collection, "queries.jsonl"),
  };
  const from = (qrels: string) => ({ kind: "source" as const, ...texts, qrels: join(training.collection, qrels) });
  const { queryLength, passageLength } = training;
  return {
    name: "bench-train",
    model: {
      kind: "biEncoder" as const,
      checkpoint: training.model,
      queryMaxLength: queryLength,
      passageMaxLength: passageLength,
      ...(isGated ? { plugins: [join(HERE, "gated_loss.py")] } : {}),
    },
    train: {
      data: {
        kind: "binary" as const,
        positives: from("qrels/train.tsv"),
        negatives: from("negatives.tsv"),
        negativesPerQuery: training.negatives,
      },
      // gated_infonce is a plugin, which the compiler does not know here.
      loss: { name: (isGated ? "gated_infonce" : "infonce") as "infonce", temperature: TEMPERATURE },
      globalBatchSize: training.queries,
      ranks: training.ranks,
      threads: training.threads,
      args: {
        maxSteps: training.steps,
        learningRate: LEARNING_RATE,
        optim: "adamw_torch_fused" as const,
        bf16: training.bf16,
        saveSteps: training.steps,
      },
    },
    workers: { device: training.device === "cpu" ? ("cpu" as const) : ("auto" as const), unitTimeoutMs: 3_600_000 },
    cacheDir: training.cacheDir,
    seed: SEED,
  };
}

let runs = 0;

/** How `quarry train` is started on a training; its events come one by one. */
export async function quarryCommand(
  context: Context,
  training: Training,
  options: { readonly isGated: boolean; readonly onEvent?: (event: QuarryEvent) => void },
): Promise<RivalOptions> {
  const name = `run-${(runs += 1)}`;
  const script = join(context.folder, `${name}.mjs`);
  const experiment = { ...experimentOf(training, options.isGated), runDir: join(context.folder, name) };
  await writeFile(script, `export default ${JSON.stringify(experiment)};\n`);
  return {
    name: "quarry",
    command: process.execPath,
    args: [join(ROOT, "dist/cli/main.js"), "train", script, "--reporter", "json"],
    env: { ...process.env, HF_HUB_OFFLINE: "1" },
    folder: context.folder,
    onLine: (line) => {
      if (line.startsWith("{")) options.onEvent?.(JSON.parse(line) as QuarryEvent);
    },
  };
}

/**
 * Trains without a gate, to the end.
 *
 * @param onEvent gets each event and the orchestrator's process id
 * @param wrap makes another command of the command
 */
export async function trainFreely(
  context: Context,
  training: Training,
  onEvent: (event: QuarryEvent, pid: number) => void,
  wrap = (command: string, args: readonly string[]) => ({ command, args }),
): Promise<void> {
  let pid = 0;
  const options = { isGated: false, onEvent: (event: QuarryEvent) => onEvent(event, pid) };
  const { env, onLine, ...direct } = await quarryCommand(context, training, options);
  const { command, args } = wrap(direct.command, direct.args);
  const child = execa(command, args, { env: { ...env }, extendEnv: false, buffer: { stdout: false }, stdin: "ignore" });
  pid = child.pid ?? 0;
  createInterface({ input: child.stdout }).on("line", (line) => onLine?.(line));
  await child;
}
