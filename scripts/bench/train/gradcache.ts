/** Peak memory of a training step in pieces (GradCache) and of the whole batch at once. */
import { join } from "node:path";
import { defineExperiment } from "../../../src/experiment/define.js";
import { doctor } from "../../../src/pipeline/doctor/doctor.js";
import type { Context } from "../shared/context.js";
import { PER_QUERY, writeCollection } from "./collection.js";
import { experimentOf } from "./quarry.js";
import { makeModel } from "./steps.js";

/** Each query has its positive and one negative. */
const [QUERIES, PASSAGES] = [64, 2];
const [QUERY_LENGTH, PASSAGE_LENGTH] = [32, 128];
const PIECES = [32, 16, 4];
/** From the second step on the optimiser's state is there as well; the probe goes on until three are done. */
const PROBE_SECONDS = 10;

interface Peak {
  /** The most memory that the rank's process ever held. */
  readonly peakBytes: number;
  readonly stepSeconds: number;
}

/** Steps of equal batches, each in a process of its own, as `quarry doctor` tries them: the real Trainer with one rank. */
export async function measureGradCache(context: Context): Promise<void> {
  const model = await makeModel(context, "real");
  const collection = join(context.folder, "gradcache");
  const queries = context.quick ? 8 : QUERIES;
  // Special tokens take two places.
  const words = { passageWords: PASSAGE_LENGTH - 2, queryWords: QUERY_LENGTH - 2 };
  writeCollection({ folder: collection, passages: 2 * queries * PER_QUERY, model, ...words });
  const size = `MiniLM, ${queries} × ${PASSAGES}, lengths ${QUERY_LENGTH}/${PASSAGE_LENGTH}, fp32`;
  const peakOf = async (miniBatchSize: number | undefined): Promise<Peak> => {
    context.note(`gradcache: ${miniBatchSize ?? "all"} at a time`);
    const { train, ...rest } = experimentOf(
      {
        ...{ model, collection, cacheDir: join(context.folder, "cache"), queries, negatives: PASSAGES - 1 },
        ...{ queryLength: QUERY_LENGTH, passageLength: PASSAGE_LENGTH, steps: 10, threads: context.threads, ranks: 1 },
        ...{ device: context.device, bf16: false },
      },
      false,
    );
    const pieces = miniBatchSize === undefined ? {} : { miniBatchSize };
    const { checks } = await doctor(defineExperiment({ ...rest, train: { ...train, ...pieces } }), {
      probeSeconds: PROBE_SECONDS,
    });
    const fact = (name: string, of: string): number => {
      const found = checks.find(({ check }) => check === name)?.facts[of];
      if (typeof found !== "number") throw new Error(`the doctor did not tell ${of}: ${JSON.stringify(checks)}`);
      return found;
    };
    return {
      peakBytes: fact("memory", "peakBytes"),
      stepSeconds: fact("time of training", "stepSeconds"),
    };
  };
  const whole = await peakOf(undefined);
  context.tell(`${size}: peak of the rank's process, all at once`, told(whole));
  for (const miniBatchSize of context.quick ? [1] : PIECES) {
    const pieces = await peakOf(miniBatchSize);
    const what = `${size}: the same with miniBatchSize ${miniBatchSize}`;
    context.tell(what, told(pieces), "less", pieces.peakBytes < whole.peakBytes);
  }
}

const told = ({ peakBytes, stepSeconds }: Peak): string =>
  `${(peakBytes / 1e9).toFixed(2)} GB (${stepSeconds.toFixed(1)} s a step)`;
