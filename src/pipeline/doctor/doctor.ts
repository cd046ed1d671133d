/** Looks at an experiment before any GPU is spent on it: data, machine, tokens, the first steps, and what the whole will cost. */
import { resolve } from "node:path";
import { openTrainingSet } from "../../data/index.js";
import { checkSources } from "../../data/inspect/check.js";
import type { InspectedData } from "../../data/inspect/inspected.js";
import type { TrainingSet } from "../../data/types.js";
import { QuarryError } from "../../errors.js";
import { machineCount } from "../../experiment/cross-checks.js";
import type { Experiment } from "../../experiment/define.js";
import { checkPaths } from "../../experiment/paths.js";
import { refreshedParts } from "../../experiment/refresh.js";
import type { TrainConfig } from "../../experiment/schema.js";
import { type Gpu, usableGpus, withNamedGpu } from "../../pool/gpus.js";
import { BATCH_SIZES, coreCount } from "../../pool/resources.js";
import type { PythonEnvironment } from "../../python/environment.js";
import { EventStream } from "../../report/events.js";
import { deriveLayout, type Layout, type TrainJob } from "../../training/index.js";
import { Look } from "../data.js";
import { toModelSpec } from "../model-spec.js";
import { inTemporaryFolder } from "../runtime-command.js";
import { StepBatches } from "../step-batches.js";
import { rankCount, trainJob } from "../train-job.js";
import { pythonVersions } from "../versions.js";
import { callDoctor, toChecks } from "./call.js";
import { examineCrossEncoders } from "./cross.js";
import { checkFaults, checkLeakage, checkNegatives } from "./data.js";
import { checkDevices, checkNetwork, checkPackages, memoryOf } from "./machine.js";
import { sampleCrossEncoders } from "./pairs.js";
import { priceOf } from "./price.js";
import { check, type DoctorCheck, type DoctorOptions, type DoctorReport } from "./types.js";
import { probeTask, type SearchedSet, sampleSearched, sampleTraining, type Work, writeLossBatches } from "./work.js";

const DEFAULT_PROBE_SECONDS = 20;
/** Encoding needs no more to be known to some percent. */
const MOST_ENCODE_SECONDS = 5;

/** What all parts of the examination share. */
export interface Patient {
  readonly experiment: Experiment;
  readonly options: DoctorOptions;
  readonly look: Look;
  readonly python: PythonEnvironment;
  readonly folder: string;
  /** What training and encoding are tried on; null for the CPU. */
  readonly gpu: Gpu | null;
  readonly probeSeconds: number;
  readonly searched: readonly SearchedSet[];
  readonly training: PatientTraining | null;
}

/** What is trained, opened and cut. */
export interface PatientTraining {
  readonly train: TrainConfig;
  readonly set: TrainingSet;
  readonly batches: StepBatches;
  readonly layout: Layout;
  readonly job: TrainJob;
}

/** See doctor in pipeline/index.ts. */
export async function doctor(experiment: Experiment, options: DoctorOptions = {}): Promise<DoctorReport> {
  checkPaths(experiment);
  const checks: DoctorCheck[] = [];
  const look = new Look(experiment, options);
  options.onSection?.("data");
  const data = await look.data();
  checks.push(...checkFaults(await checkSources(data, look.context)));
  const isSound = checks.every(({ status }) => status !== "refuse");
  options.onSection?.("machine");
  const python = await withNamedGpu(await look.python(), experiment.config.workers.device);
  const machine = await examineMachine(experiment, python);
  checks.unshift(...machine.checks);
  if (isSound) {
    await inTemporaryFolder(async (folder) => {
      const training = await openTraining(experiment, data, look, machine.ranks, folder);
      try {
        if (training instanceof QuarryError) {
          checks.push(check("training", "batch", "refuse", training.message, { todo: training.hint ?? null }));
          return;
        }
        checks.push(
          ...(await examine({ experiment, options, look, python, folder, training, gpu: machine.gpu }, data)),
        );
      } finally {
        if (training !== null && !(training instanceof QuarryError)) {
          training.batches.close();
          training.set.close();
        }
      }
    });
  }
  const isFit = checks.every(({ status }) => status !== "refuse");
  return { name: experiment.config.name, isFit, checks };
}

async function examineMachine({ config }: Experiment, python: PythonEnvironment) {
  const gpus = await usableGpus(python);
  const ranks = config.train === undefined ? null : await rankCount(config.train, config.workers.device, python);
  const gpu = config.workers.device === "cpu" ? null : (gpus[0] ?? null);
  const machines = config.train === undefined ? 1 : machineCount(config.train);
  const network = checkNetwork((ranks ?? 1) * machines, config.workers.nodes.length);
  return {
    ...{ gpu, ranks: (ranks ?? 1) * machines },
    checks: [
      checkPackages(await pythonVersions(python), python),
      checkDevices(gpus, config.workers.device, ranks, memoryOf()),
      ...(network === null ? [] : [network]),
    ],
  };
}

/** Opens the training set and cuts its batch; a batch that cannot be shared is told, not thrown. */
async function openTraining(
  experiment: Experiment,
  data: InspectedData,
  look: Look,
  ranks: number,
  folder: string,
): Promise<PatientTraining | QuarryError | null> {
  const { train } = experiment.config;
  if (train === undefined || data.train === null) return null;
  let layout: Layout;
  try {
    const { globalBatchSize, queriesPerRank } = train;
    layout = deriveLayout({ globalBatchSize, queriesPerRank, ranks });
  } catch (thrown) {
    if (thrown instanceof QuarryError) return thrown;
    throw thrown;
  }
  const set = await openTrainingSet(data.train.data, look.context);
  const batches = new StepBatches(set, train.globalBatchSize);
  const place = {
    ranks: ranks / machineCount(train),
    python: await look.python(),
    events: new EventStream(),
    outputDir: resolve(folder, "train"),
  };
  const job = trainJob(experiment, train, set, batches, { ...place, logDir: resolve(folder, "logs") });
  return { train, set, batches, layout, job };
}

async function examine(given: Omit<Patient, "probeSeconds" | "searched">, data: InspectedData): Promise<DoctorCheck[]> {
  const { experiment, options, look, python, folder, training, gpu } = given;
  const probeSeconds = options.probeSeconds ?? DEFAULT_PROBE_SECONDS;
  const found: DoctorCheck[] = await checkLeakage(data, look.context);
  const negatives = training === null ? null : checkNegatives(training.set, refreshedParts(experiment.config));
  if (negatives !== null) found.push(negatives);
  options.onSection?.("tokens");
  const searched = await sampleSearched(folder, experiment.config, data.searched, look.context);
  const patient: Patient = { ...given, probeSeconds, searched };
  const samples = [
    ...(training === null ? [] : await sampleTraining(folder, training.set)),
    ...searched.flatMap((set) => set.samples),
  ];
  const { batchSize } = experiment.config.workers;
  const work: Work = {
    sections: [
      "tokens",
      ...(probeSeconds > 0 ? (["encode"] as const) : []),
      ...(training === null ? [] : (["loss"] as const)),
    ],
    ...{ samples, model: toModelSpec(experiment), probeBatches: [], probeSeconds },
    train: training === null ? null : probeTask(training.job, training.layout.queriesPerRank, 1),
    lossBatches: training === null ? [] : await writeLossBatches(folder, training.batches, training.layout),
    batchSize: typeof batchSize === "number" ? batchSize : BATCH_SIZES[gpu === null ? "cpu" : "gpu"],
    encodeSeconds: Math.min(MOST_ENCODE_SECONDS, probeSeconds / 4),
  };
  const place = {
    folder,
    python,
    gpu,
    signal: look.signal,
    onLog: options.onLog,
    threads: training?.job.threads ?? coreCount(),
  };
  // Where runs from elsewhere take its place, no step loads it either.
  const isModelUsed = samples.length > 0 || training !== null;
  if (!isModelUsed) found.push(check("tokens", "model", "ok", "not looked at: nothing is encoded with it"));
  const called = isModelUsed ? await callDoctor(work, place) : { findings: [], killedAt: null };
  const isLoss = (name: string): boolean => /^(loss|temperature)/.test(name);
  const speeds = called.findings.filter(({ check: name }) => name.startsWith("speed of "));
  const others = called.findings.filter((finding) => !speeds.includes(finding));
  found.push(
    ...toChecks(
      others.filter(({ check: name }) => !isLoss(name)),
      "tokens",
    ),
    ...toChecks(
      others.filter(({ check: name }) => isLoss(name)),
      "training",
    ),
  );
  if (called.killedAt !== null)
    found.push(
      check(
        "cost",
        "memory",
        "refuse",
        `the system ended Python at ${called.killedAt}: memory is too small for the model`,
        { todo: "Use a smaller model or more memory." },
      ),
    );
  const crossEncoders = await sampleCrossEncoders(folder, experiment.config, data, look.context);
  found.push(...(await examineCrossEncoders(patient, crossEncoders, place)));
  if (called.killedAt === null && others.every(({ status, check: name }) => status !== "refuse" || isLoss(name)))
    found.push(...(await priceOf(patient, called.findings, place)));
  return found;
}
