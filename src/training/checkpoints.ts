/** Finds the checkpoints that count: those whose manifest, written last, agrees with the files beside it. */
import { open, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { counted } from "../counted.js";
import { QuarryError } from "../errors.js";
import type { EventStream } from "../report/events.js";
import type { Layout, TrainJob } from "./job.js";
import { deriveLayout, negativesScope } from "./layout.js";

/** Written by py_runtime/quarry_runtime/training/checkpoints.py, which also checks the hashes before use. */
const manifestSchema = z.strictObject({
  version: z.literal(1),
  step: z.int().min(1),
  negativesScope: z.int().min(0),
  queriesPerStep: z.int().min(1),
  seed: z.int().min(0),
  worldSize: z.int().min(1),
  files: z.array(
    z.strictObject({
      path: z.string().regex(/^(?!\/)(?!(.*\/)?\.\.(\/|$))/, "a path inside the folder"),
      bytes: z.int().min(0),
      xxh3: z.string(),
    }),
  ),
});

const MANIFEST = "quarry-checkpoint.json";

/** A complete checkpoint. */
export interface CheckpointFolder {
  readonly path: string;
  /** Optimiser steps that it has seen. */
  readonly step: number;
  /** Passages that each query was compared with in one micro-step; 0 when the loss looks at a query's own ones only. */
  readonly negativesScope: number;
  readonly queriesPerStep: number;
  readonly seed: number;
}

/**
 * The complete checkpoint with the most steps, or null; half-written ones are passed over.
 *
 * @param before only checkpoints of fewer steps than this
 */
export async function findLatestCheckpoint(
  outputDir: string,
  before = Number.POSITIVE_INFINITY,
): Promise<CheckpointFolder | null> {
  for (const { path, step } of await listFolders(outputDir)) {
    if (step >= before) continue;
    const found = await readCheckpoint(path, step);
    if (found !== null) return found;
  }
  return null;
}

/** What only a resumed training reads of a checkpoint: big, and of no use to whoever works with its model. */
export const OF_TRAINING =
  /^(optimizer|scheduler|scaler|rng_state|random_states|global_step|pytorch_model_fsdp|trainer_state)/;

/** The files of a checkpoint's model, relative to its folder; null where its manifest is gone. */
export async function modelFilesOf(path: string): Promise<string[] | null> {
  const manifest = await readManifest(path);
  return manifest?.files.map((file) => file.path).filter((file) => !OF_TRAINING.test(file)) ?? null;
}

/** All complete checkpoints, the newest first. */
export async function listCheckpoints(outputDir: string): Promise<CheckpointFolder[]> {
  const folders = await listFolders(outputDir);
  const found = await Promise.all(folders.map(({ path, step }) => readCheckpoint(path, step)));
  return found.filter((folder) => folder !== null);
}

/** Removes checkpoints; a death in between leaves what nobody takes for complete. */
export async function removeCheckpoints(folders: readonly Pick<CheckpointFolder, "path">[]): Promise<void> {
  for (const { path } of folders) {
    await rm(join(path, MANIFEST), { force: true });
    const folder = await open(path, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
    await rm(path, { recursive: true, force: true });
  }
}

/**
 * Removes checkpoints that do not count, and says so; call it only while no rank is at work. A manifest is written last
 * and removed first: where there is one, no death left the folder so, but a copy in part or somebody's hand.
 */
export async function removeHalfWritten(outputDir: string, events: EventStream): Promise<void> {
  for (const { path, step } of await listFolders(outputDir)) {
    if ((await readCheckpoint(path, step)) !== null) continue;
    const wasComplete = (await readManifest(path)) !== null;
    await rm(path, { recursive: true, force: true });
    if (wasComplete) {
      const message = `${path} was a complete checkpoint, but has lost files; it is removed.`;
      events.emit({ type: "warning", message, hint: "Training goes on from the checkpoint before it." });
    } else events.emit({ type: "log", source: "training", level: "info", text: `removed half-written ${path}` });
  }
}

/** Files that checkpoints had when they were complete, and have no more, or only in part. */
export async function lostOfCheckpoints(outputDir: string): Promise<string[]> {
  const lost: string[] = [];
  for (const { path } of await listFolders(outputDir)) {
    const manifest = await readManifest(path);
    if (manifest !== null) lost.push(...(await lackingIn(path, manifest)));
  }
  return lost;
}

/**
 * How a number of ranks goes on from a checkpoint. Where the user left queriesPerRank open, it is chosen so that each query
 * is compared with as many passages as before: the ranks may be more or fewer, the training is the same.
 *
 * @param from null for a training that begins
 * @throws QuarryError CONFIG when the batch cannot be shared, or going on would change what a step means.
 */
export function layoutFrom(
  from: CheckpointFolder | null,
  job: Pick<TrainJob, "globalBatchSize" | "queriesPerRank" | "passagesPerQuery" | "seed">,
  ranks: number,
): Layout {
  const { globalBatchSize, passagesPerQuery } = job;
  const kept = from === null ? 0 : from.negativesScope / passagesPerQuery / ranks;
  const isKept = Number.isInteger(kept) && kept > 0 && globalBatchSize % (ranks * kept) === 0;
  const queriesPerRank = job.queriesPerRank ?? (isKept ? kept : undefined);
  const layout = deriveLayout({ globalBatchSize, queriesPerRank, ranks });
  if (from !== null) checkResumable(from, job, layout);
  return layout;
}

/**
 * Refuses to go on from a checkpoint when that would change what a step means.
 *
 * @throws QuarryError CONFIG that says what differs and how to get it back.
 */
export function checkResumable(
  from: CheckpointFolder,
  job: { readonly seed: number; readonly passagesPerQuery: number },
  layout: Layout,
): void {
  const scope = negativesScope(layout, job.passagesPerQuery);
  const queriesPerStep = layout.worldSize * layout.queriesPerRank * layout.accumulationSteps;
  if (from.queriesPerStep !== queriesPerStep) {
    throw new QuarryError(
      "CONFIG",
      `${from.path} was trained with globalBatchSize ${from.queriesPerStep}, not ${queriesPerStep}.`,
      {
        hint: `Set train.globalBatchSize to ${from.queriesPerStep}, or choose another runDir.`,
      },
    );
  }
  if (from.negativesScope !== 0 && from.negativesScope !== scope) {
    const wanted = from.negativesScope / job.passagesPerQuery / layout.worldSize;
    throw new QuarryError(
      "CONFIG",
      `${from.path} compared each query with ${counted(from.negativesScope, "passages")} in a micro-step; ${counted(layout.worldSize, "ranks")} with train.queriesPerRank ${layout.queriesPerRank} would compare it with ${scope}.`,
      {
        hint: Number.isInteger(wanted)
          ? `Set train.queriesPerRank to ${wanted}, or choose another runDir.`
          : "Train on as many ranks as before, or choose another runDir.",
      },
    );
  }
  if (from.seed !== job.seed) {
    throw new QuarryError("CONFIG", `${from.path} was trained with seed ${from.seed}, not ${job.seed}.`, {
      hint: `Set seed to ${from.seed}, or choose another runDir.`,
    });
  }
}

async function listFolders(outputDir: string): Promise<{ readonly path: string; readonly step: number }[]> {
  const names = await readdir(outputDir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return names
    .flatMap((name) => {
      const found = /^checkpoint-(\d+)$/.exec(name);
      return found === null ? [] : [{ path: join(outputDir, name), step: Number(found[1]) }];
    })
    .sort((a, b) => b.step - a.step);
}

async function readCheckpoint(path: string, step: number): Promise<CheckpointFolder | null> {
  const manifest = await readManifest(path);
  if (manifest === null || manifest.step !== step) return null;
  if ((await lackingIn(path, manifest)).length > 0) return null;
  const { negativesScope: scope, queriesPerStep, seed } = manifest;
  return { path, step, negativesScope: scope, queriesPerStep, seed };
}

type Manifest = z.output<typeof manifestSchema>;

/** Files of a manifest that are not there as it says. */
async function lackingIn(path: string, { files }: Manifest): Promise<string[]> {
  const lacking: string[] = [];
  for (const file of files) {
    const found = await stat(join(path, file.path)).catch(() => null);
    if (found?.isFile() !== true || found.size !== file.bytes) lacking.push(join(path, file.path));
  }
  return lacking;
}

async function readManifest(path: string): Promise<Manifest | null> {
  try {
    return manifestSchema.parse(JSON.parse(await readFile(join(path, MANIFEST), "utf8")));
  } catch {
    return null;
  }
}
