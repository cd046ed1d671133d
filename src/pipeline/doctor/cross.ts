/** Cross-encoders of an experiment: whether they score as is meant, and what scoring its pairs will cost. */
import { counted } from "../../counted.js";
import { BATCH_SIZES, coreCount } from "../../pool/resources.js";
import { toCrossEncoderSpec, toModelSpec } from "../model-spec.js";
import { type CallPlace, callDoctor, type Finding, toChecks } from "./call.js";
import type { Patient } from "./doctor.js";
import type { CrossPatient } from "./pairs.js";
import { modelsOf, roomOf, SEARCH_SECONDS } from "./price.js";
import { checkScoreMemory, checkScoring, type ScoreProbe, scoreBytes } from "./score-cost.js";
import { check, type DoctorCheck } from "./types.js";
import type { Work } from "./work.js";

/** Scoring needs no more to be known to some percent. */
const MOST_SECONDS = 10;

/** A cross-encoder, and how the workers will score with it. */
interface Examined {
  readonly patient: Patient;
  readonly cross: CrossPatient;
  readonly place: CallPlace;
  readonly workerCount: number;
  readonly batchSize: number;
}

/** Looks at every cross-encoder, each in processes of its own: the memory that one takes must not count for another. */
export async function examineCrossEncoders(
  patient: Patient,
  crossEncoders: readonly CrossPatient[],
  place: CallPlace,
): Promise<DoctorCheck[]> {
  const { workers } = patient.experiment.config;
  const workerCount = workers.count === "auto" ? 1 : Math.max(1, workers.count);
  const threads = workers.threads ?? Math.max(1, Math.floor(coreCount() / workerCount));
  const checks: DoctorCheck[] = [];
  for (const cross of crossEncoders) {
    patient.options.onSection?.(cross.path);
    const wanted = cross.model.batchSize ?? workers.batchSize;
    const batchSize = typeof wanted === "number" ? wanted : BATCH_SIZES[patient.gpu === null ? "cpu" : "gpu"];
    checks.push(...(await examine({ patient, cross, place: { ...place, threads }, workerCount, batchSize })));
  }
  return checks;
}

async function examine(examined: Examined): Promise<DoctorCheck[]> {
  const { patient, cross, place, workerCount, batchSize } = examined;
  const { path, sets } = cross;
  const { findings, killedAt } = await callDoctor(workOf(examined, "pairs", batchSize, 0), place);
  const found = toChecks(named(findings, path), "pairs");
  if (killedAt !== null) {
    const seen = "the system ended Python while it was loaded: memory is too small for the model";
    const todo = "Use a smaller cross-encoder or more memory.";
    return [...found, check("cost", `memory of ${path}`, "refuse", seen, { todo })];
  }
  const isBroken = found.some(({ status }) => status === "refuse");
  if (patient.probeSeconds === 0 || sets.length === 0 || isBroken) return found;
  patient.options.onSection?.(`the cost of ${path}`);
  const room = roomOf(place.gpu, patient.options.memoryBytes);
  const first = await probe(examined, batchSize, Math.min(MOST_SECONDS, patient.probeSeconds / 2));
  // Something else than memory is wrong.
  if (first.others.length > 0) return [...found, ...toChecks(named(first.others, path), "pairs")];
  const fits = (probed: ScoreProbe | null): boolean =>
    probed !== null && scoreBytes(probed, workerCount, room) <= (room.availableBytes ?? Number.POSITIVE_INFINITY);
  let smaller: ScoreProbe | null = null;
  for (let size = fits(first.probe) ? 1 : batchSize; size > 1 && smaller === null; ) {
    size = Math.floor(size / 2);
    patient.options.onSection?.(`what would fit: ${counted(size, "pairs")}`);
    const tried = (await probe(examined, size, SEARCH_SECONDS)).probe;
    if (fits(tried)) smaller = tried;
  }
  const times = sets.flatMap(({ name, pairCount }) => {
    const speed = first.speeds.get(name);
    if (speed === undefined || pairCount === null) return [];
    const models = modelsOf(patient.experiment.config.steps, name);
    return [checkScoring(`${path}, ${name}`, pairCount, speed, workerCount, models)];
  });
  const memory = checkScoreMemory(path, { probe: first.probe, smaller, batchSize }, workerCount, room);
  return [...found, memory, ...times];
}

/** Scores for a while; the probe is null where memory ended. */
async function probe(examined: Examined, batchSize: number, seconds: number) {
  const { cross, place } = examined;
  const { findings, killedAt } = await callDoctor(workOf(examined, "score", batchSize, seconds), place);
  const memory = findings.find((finding) => finding.check === `memory of ${cross.path}`);
  const speeds = findings.filter(({ facts }) => facts["set"] !== undefined);
  return {
    probe: killedAt === null && memory?.status === "ok" ? (memory.facts as unknown as ScoreProbe) : null,
    speeds: new Map(speeds.map(({ facts }) => [facts["set"], facts["pairsPerSecond"] as number])),
    others: findings.filter((finding) => finding !== memory && !speeds.includes(finding)),
  };
}

function workOf(
  { patient, cross: { path, model, sets } }: Examined,
  section: "pairs" | "score",
  batchSize: number,
  seconds: number,
): Work {
  const { experiment, probeSeconds } = patient;
  const samples = sets.map(({ name, file, judged }) => ({ name, file, judged }));
  const spec = toCrossEncoderSpec(model, experiment.baseDir);
  return {
    ...{ sections: [section], model: toModelSpec(experiment), train: null, samples: [], lossBatches: [] },
    ...{ probeBatches: [], probeSeconds, batchSize, encodeSeconds: 0 },
    cross: { path, spec, samples, batchSize, seconds },
  };
}

/** What ends a whole section has its name, which says nothing to a user. */
function named(findings: readonly Finding[], path: string): Finding[] {
  return findings.map((finding) =>
    ["pairs", "score"].includes(finding.check) ? { ...finding, check: `model of ${path}` } : finding,
  );
}
