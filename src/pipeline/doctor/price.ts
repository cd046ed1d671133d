/** Asks the probe what the experiment will cost, and where it does not fit, what would. */
import { counted } from "../../counted.js";
import { machineCount } from "../../experiment/cross-checks.js";
import type { Gpu } from "../../pool/gpus.js";
import { formatCount } from "../../report/format.js";
import { runDirOf } from "../coming-files.js";
import { type CallPlace, callDoctor, type Finding, toChecks } from "./call.js";
import {
  checkEncoding,
  checkMemory,
  checkTime,
  type MemoryRoom,
  neededBytes,
  type Probe,
  type Training,
} from "./cost.js";
import { checkDisks, checkpointsNeed, type DiskNeed } from "./disk.js";
import type { Patient, PatientTraining } from "./doctor.js";
import { diskOf, memoryOf } from "./machine.js";
import type { DoctorCheck } from "./types.js";
import { isPriced, probeTask, type Work, writeProbeBatches } from "./work.js";

/** Looking for what fits takes no longer than it must. */
export const SEARCH_SECONDS = 2;
const VECTOR_BYTES = { float32: 4, float16: 2, bfloat16: 2, int8: 1 } as const;

/** Memory, hours and disk of the experiment. */
export async function priceOf(
  patient: Patient,
  findings: readonly Finding[],
  place: CallPlace,
): Promise<DoctorCheck[]> {
  const { training, probeSeconds } = patient;
  const checks: DoctorCheck[] = [];
  let trained: number | null = null;
  if (training !== null && probeSeconds > 0) {
    patient.options.onSection?.("probe");
    const probed = await probeTraining(patient, training, place);
    checks.push(...probed.checks);
    trained = probed.trained;
  }
  checks.push(...encodingTimes(patient, findings), ...(await disks(patient, findings, trained)));
  return checks;
}

async function probeTraining(patient: Patient, training: PatientTraining, place: CallPlace) {
  const { options, probeSeconds } = patient;
  const { train, layout, job } = training;
  const room = roomOf(place.gpu, options.memoryBytes);
  const whole: Training = {
    ...{ ranks: layout.worldSize, machines: machineCount(train) },
    ...{ accumulationSteps: layout.accumulationSteps, maxSteps: job.maxSteps },
    ...{ isCheckpointing: train.args.gradientCheckpointing, isBf16: train.args.bf16 },
  };
  const { queriesPerRank } = layout;
  const { probe, checks } = await probeOnce(patient, training, place, queriesPerRank, probeSeconds);
  // Something else than memory is wrong, and was told.
  if (probe === null && checks.length > 0) return { checks, trained: null };
  const fits = (found: Probe): boolean =>
    neededBytes(found, whole, room) <= (room.availableBytes ?? Number.POSITIVE_INFINITY);
  let smaller: Probe | null = null;
  const share = layout.queriesPerRank * layout.accumulationSteps;
  for (const size of probe !== null && fits(probe) ? [] : smallerSizes(share, queriesPerRank)) {
    options.onSection?.(`what would fit: ${counted(size, "queries")}`);
    const tried = await probeOnce(patient, training, place, size, SEARCH_SECONDS);
    if (tried.probe === null || !fits(tried.probe)) continue;
    smaller = tried.probe;
    break;
  }
  return {
    checks: [
      ...checks,
      checkMemory(probe, smaller, queriesPerRank, whole, room),
      ...(probe === null ? [] : [checkTime(probe, whole)]),
    ],
    trained: (probe ?? smaller)?.trained ?? null,
  };
}

/** Sizes of a forward pass that cut the share of a rank evenly, about half of the one before. */
export function smallerSizes(share: number, queriesPerRank: number): number[] {
  const sizes: number[] = [];
  for (let size = queriesPerRank; size > 1; ) {
    const half = Math.floor(size / 2);
    size = Array.from({ length: half }, (_, at) => half - at).find((found) => share % found === 0) ?? 1;
    sizes.push(size);
  }
  return sizes;
}

/** One probe; null where memory ended. */
async function probeOnce(
  patient: Patient,
  { train, batches, layout, job }: PatientTraining,
  place: CallPlace,
  queriesPerRank: number,
  probeSeconds: number,
): Promise<{ readonly probe: Probe | null; readonly checks: readonly DoctorCheck[] }> {
  const accumulationSteps = (layout.queriesPerRank * layout.accumulationSteps) / queriesPerRank;
  const work: Work = {
    ...{ sections: ["probe"], model: job.model, samples: [], lossBatches: [], batchSize: 1, encodeSeconds: 0 },
    train: probeTask(job, queriesPerRank, accumulationSteps),
    probeBatches: await writeProbeBatches(patient.folder, batches, train.globalBatchSize, queriesPerRank),
    probeSeconds,
  };
  const { findings, killedAt } = await callDoctor(work, place);
  const found = findings.find(({ check }) => check === "probe");
  const others = toChecks(
    findings.filter(
      ({ check, status }) => check !== "probe" || (status === "refuse" && found?.facts.isOutOfMemory !== true),
    ),
    "training",
  );
  if (killedAt !== null || found === undefined || found.status === "refuse") return { probe: null, checks: others };
  return { probe: found.facts as unknown as Probe, checks: others };
}

export function roomOf(gpu: Gpu | null, memoryBytes: number | undefined): MemoryRoom {
  const ownBytes = gpu === null ? memoryOf().availableBytes : gpu.freeBytes;
  return { isGpu: gpu !== null, availableBytes: memoryBytes ?? ownBytes };
}

function encodingTimes({ experiment, searched }: Patient, findings: readonly Finding[]): DoctorCheck[] {
  const { workers } = experiment.config;
  const count = workers.count === "auto" ? 1 : Math.max(1, workers.count);
  const done = new Set<string>();
  return searched.flatMap(({ path, passageCount, fingerprint, samples }) => {
    const passages = samples.find(({ side }) => side === "passage");
    const speed = findings.find(({ facts }) => passages !== undefined && facts.sample === passages.name);
    if (speed === undefined || done.has(fingerprint)) return [];
    done.add(fingerprint);
    const rate = speed.facts.textsPerSecond as number;
    return [checkEncoding(path, passageCount, rate, count, modelsOf(experiment.config.steps, path))];
  });
}

/** Models that a section's passages are encoded with: before and after the training where the steps say so. */
export function modelsOf(steps: readonly string[] | undefined, path: string): number {
  const section = path.split(".")[0];
  return Math.max(1, steps?.filter((step) => step === section).length ?? 1);
}

async function disks(patient: Patient, findings: readonly Finding[], trained: number | null): Promise<DoctorCheck[]> {
  const { experiment, look, training, options } = patient;
  const searched = patient.searched.filter(({ path }) => isPriced(path));
  const { config } = experiment;
  const model = findings.find(({ check }) => check === "model");
  if (model === undefined) return [];
  const { parameters, dimension } = model.facts as { readonly parameters: number; readonly dimension: number };
  const needs: DiskNeed[] = [];
  if (training !== null) {
    const runDir = runDirOf(config);
    const { maxSteps } = training.job;
    needs.push(checkpointsNeed(training.train, { parameters, trained: trained ?? parameters, maxSteps }, runDir));
  }
  if (config.embeddings.store && searched.length > 0) {
    const sizes = new Map(
      searched.map((set) => [set.fingerprint, set.passageCount * modelsOf(config.steps, set.path)]),
    );
    const vectors = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    const what = `${formatCount(vectors)} vectors of ${dimension}`;
    const less =
      config.embeddings.dtype === "float32"
        ? "set embeddings.dtype to float16 or int8"
        : "set embeddings.store to false";
    needs.push({
      what,
      bytes: vectors * dimension * VECTOR_BYTES[config.embeddings.dtype],
      folder: look.cacheDir,
      less,
    });
  }
  const byDisk = new Map<number, { freeBytes: number; needs: DiskNeed[] }>();
  for (const need of needs) {
    const { device, freeBytes } = await diskOf(need.folder);
    const disk = byDisk.get(device) ?? { freeBytes: options.diskBytes ?? freeBytes, needs: [] };
    disk.needs.push(need);
    byDisk.set(device, disk);
  }
  return checkDisks([...byDisk.values()]);
}
