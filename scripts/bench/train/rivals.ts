/** Starts those that train on the same batches as Quarry: a bare loop, transformers' Trainer, the two toolkits' trainers. */
import { mkdir, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { trainerPackages } from "../data/peers-setup.mjs";
import type { Context } from "../shared/context.js";
import { LEARNING_RATE, quarryCommand, TEMPERATURE, type Training } from "./quarry.js";
import { type Rival, type RivalOptions, startRival } from "./rival.js";

const SCRIPT = join(dirname(fileURLToPath(import.meta.url)), "rivals.py");

export const RIVALS = ["quarry", "loop", "tokenised-loop", "trainer", "sentence-transformers", "trove"] as const;
export type RivalName = (typeof RIVALS)[number];

/** What tables call them. */
export const TITLES: Readonly<Record<RivalName, string>> = {
  quarry: "Quarry",
  loop: "a plain PyTorch loop",
  "tokenised-loop": "such a loop on batches that were tokenised before",
  trainer: "a plain script around transformers' Trainer",
  "sentence-transformers": "sentence-transformers' trainer",
  trove: "Trove's trainer",
};

let count = 0;

/**
 * Starts a training and leaves it at its gate, its first loss told.
 *
 * @param groups file of the groups in order
 * @param loaders processes that the others' data loaders start; Quarry always tokenises in a thread of the rank
 */
export async function startTraining(
  context: Context,
  name: RivalName,
  training: Training,
  groups: string,
  loaders = 0,
): Promise<Rival> {
  const options =
    name === "quarry"
      ? await quarryCommand(context, training, { isGated: true })
      : await rivalCommand(context, name, training, groups, loaders);
  return startRival(options);
}

async function rivalCommand(
  context: Context,
  name: Exclude<RivalName, "quarry">,
  training: Training,
  groups: string,
  loaders: number,
): Promise<RivalOptions> {
  const { model, queries, queryLength, passageLength, steps, threads, device, bf16 } = training;
  const folder = join(context.folder, `rival-${(count += 1)}`);
  await mkdir(folder);
  const spec = {
    ...{ model, groups, folder, queries, queryLength, passageLength, steps, device, bf16, loaders },
    ...{ temperature: TEMPERATURE, learningRate: LEARNING_RATE },
  };
  await writeFile(join(folder, "spec.json"), JSON.stringify(spec));
  const counts = { OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) };
  const { PYTHONPATH: _, ...env } = process.env;
  const own: Record<string, string> = { ...context.python.env, ...counts };
  const extended = (): Record<string, string> => ({
    ...own,
    PYTHONPATH: [own.PYTHONPATH, trainerPackages(context.python.executable)].filter(Boolean).join(delimiter),
  });
  return {
    name,
    command: name === "trove" ? context.peersPython() : context.python.executable,
    args: [SCRIPT, name, join(folder, "spec.json")],
    env: name === "trove" ? { ...env, ...counts } : name === "sentence-transformers" ? extended() : own,
    folder: context.folder,
  };
}
