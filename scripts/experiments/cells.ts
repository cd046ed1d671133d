/** The experiments of one collection: each is a Quarry run in a folder of its own, so each resumes by itself. */
import { join } from "node:path";
import {
  biEncoder,
  binary,
  defineExperiment,
  demoModel,
  type EventStream,
  evaluate,
  mine,
  multiLevel,
  type RunResult,
  run,
  source,
} from "../../src/index.js";
import type { Collection, Settings, Variant } from "./settings.js";

/** Where everything lies. */
export interface Place {
  /** The collection in BEIR layout. */
  readonly data: string;
  /** Runs and the cache with the stored vectors. */
  readonly folder: string;
  readonly settings: Settings;
  readonly events: EventStream;
  readonly signal: AbortSignal;
}

type Files = Readonly<Record<"likely" | "hard", string>>;

/** Grades of the custom loss: a judged passage, the best unjudged one (likely relevant, nobody knows), a hard negative. */
const GRADES = { judged: 3, likely: 1, hard: 0 };

/** nDCG@10 and R@100 of one cell. */
export async function runCell(
  place: Place,
  collection: Collection,
  variant: Variant,
  seed: number,
): Promise<RunResult> {
  const { folder, settings } = place;
  const base = common(place, seed);
  const evaluated = {
    data: source({ corpus: place.data, qrels: join(place.data, "qrels/test.tsv") }),
    measures: ["nDCG@10", "R@100"],
  };
  const options = { events: place.events, signal: place.signal };
  if (variant === "before") {
    const runDir = join(folder, collection, "before");
    return evaluate(defineExperiment({ ...base, name: `${collection}-before`, runDir, evaluate: evaluated }), options);
  }
  const { learningRate, temperature, loss, isBf16 } = settings;
  const mined = variant === "inBatch" ? null : await mineBoth(place, collection);
  const experiment = defineExperiment({
    ...base,
    name: `${collection}-${variant}-${seed}`,
    runDir: join(folder, collection, `${variant}-${seed}`),
    steps: ["train", "evaluate"],
    train: {
      data: trainingData(place, mined, variant),
      // The compiler knows no losses of plugins here; all of these have a temperature.
      loss: { name: (variant === "custom" ? loss : "infonce") as "infonce", temperature },
      globalBatchSize: settings.queries,
      ranks: 1,
      args: { maxSteps: settings.steps, learningRate, warmupSteps: 0.1, saveSteps: 20, bf16: isBf16 },
    },
    evaluate: evaluated,
  });
  return run(experiment, options);
}

function common({ folder, settings }: Place, seed: number) {
  const { queryLength, passageLength, isBf16 } = settings;
  const dtype = isBf16 ? ("bfloat16" as const) : ("float32" as const);
  const lengths = { queryMaxLength: queryLength, passageMaxLength: passageLength };
  return {
    model: biEncoder(demoModel, { ...lengths, dtype }),
    workers: { count: 1 },
    cacheDir: join(folder, "cache"),
    seed,
  };
}

function judged({ data }: Place, more: object = {}) {
  return source({ corpus: data, qrels: join(data, "qrels/train.tsv"), minScore: 1, ...more });
}

function trainingData(place: Place, mined: Files | null, variant: Variant) {
  if (mined === null) return binary({ positives: judged(place) });
  const from = (qrels: string, more: object) => source({ corpus: place.data, qrels, groupRandomK: 1, ...more });
  if (variant === "mined") {
    return binary({ positives: judged(place), negatives: from(mined.hard, {}), negativesPerQuery: 1 });
  }
  return multiLevel({
    sources: [
      from(mined.hard, { scoreTransform: GRADES.hard }),
      from(mined.likely, { scoreTransform: GRADES.likely }),
      judged(place, { groupRandomK: 1, scoreTransform: GRADES.judged }),
    ],
    passagesPerQuery: 3,
  });
}

/** Passages that the untrained model ranks high and nobody judged: the very best, and those behind them. */
async function mineBoth(place: Place, collection: Collection): Promise<Files> {
  const ranges = {
    likely: { rangeMax: 2, negativesPerQuery: 2 },
    hard: { rangeMin: 5, rangeMax: 50, negativesPerQuery: 20 },
  };
  const found: Record<string, string> = {};
  for (const [name, range] of Object.entries(ranges)) {
    const experiment = defineExperiment({
      ...common(place, 1),
      name: `${collection}-mine-${name}`,
      runDir: join(place.folder, collection, `mine-${name}`),
      mine: { data: judged(place), topK: 50, ranksOver: "unjudged", ...range },
    });
    const { files } = await mine(experiment, { events: place.events, signal: place.signal });
    found[name] = files.negatives as string;
  }
  return found as Files;
}
