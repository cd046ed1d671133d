/** Steps a second when the texts come from a cold disk, limited and not, against texts in memory. */
import { join } from "node:path";
import type { QuarryEvent } from "../../../src/report/events.js";
import type { Context } from "../shared/context.js";
import { canThrottle, eachFile, openThrottle, type Throttle } from "../shared/disk.js";
import { PER_QUERY, writeCollection } from "./collection.js";
import { prepareData } from "./groups.js";
import { type Training, trainFreely } from "./quarry.js";
import { makeModel } from "./steps.js";

const [QUERIES, LIMIT] = [16, 50];
const WARM_UP = 20;

interface Rate {
  readonly stepsPerSecond: number;
  /** Share of the time that the rank waited for a batch. */
  readonly waitShare: number;
}

/** The stub model of the steps part, so that the way of the data is what is measured. */
export async function measureDisk(context: Context): Promise<void> {
  const model = await makeModel(context, "stub");
  const passages = context.quick ? 100_000 : 1_000_000;
  const folder = join(context.folder, "collection");
  writeCollection({ folder, passages, passageWords: 140, queryWords: 30, model });
  const training: Training = {
    ...{ model, collection: folder, cacheDir: join(context.folder, "cache"), queries: QUERIES },
    ...{ negatives: PER_QUERY - 1, queryLength: 32, passageLength: 128, steps: context.quick ? 60 : 300 },
    ...{ threads: context.threads, ranks: 1, device: "cpu", bf16: false },
  };
  await prepareData(training);
  const size = `${passages.toLocaleString("en-US")} passages, ${QUERIES} × ${PER_QUERY} texts a step`;
  const warm = await run(context, training, "warm", null);
  const cold = await run(context, training, "cold", null);
  const told = (rate: Rate): string =>
    `${rate.stepsPerSecond.toFixed(1)} steps/s, ${(100 * rate.waitShare).toFixed(1)} % of the time waiting`;
  context.tell(`${size}, texts in memory`, told(warm));
  const ofWarm = (rate: Rate): string =>
    `${told(rate)}; ${(rate.stepsPerSecond / warm.stepsPerSecond).toFixed(2)} of it`;
  context.tell("the same, texts on a cold disk without a limit", ofWarm(cold));
  context.numbers({ passages, warm, cold });
  if (!canThrottle()) {
    return context.tell(
      `the same, cold, limited to ${LIMIT} MB/s`,
      "not measured: needs root and blkio cgroups of version 1",
    );
  }
  const throttle = openThrottle(context.folder, LIMIT);
  try {
    const limited = await run(context, training, "cold", throttle);
    context.tell(`the same, cold, limited to ${LIMIT} MB/s`, ofWarm(limited));
    context.numbers({ limit: LIMIT, limited });
  } finally {
    throttle.close();
  }
}

/** Trains once; the limit holds for the orchestrator and the ranks alike. */
async function run(
  context: Context,
  training: Training,
  state: "cold" | "warm",
  throttle: Throttle | null,
): Promise<Rate> {
  context.note(`disk: ${state}${throttle === null ? "" : `, ${LIMIT} MB/s`}`);
  for (const folder of [training.collection, training.cacheDir]) await eachFile(folder, state);
  const times: number[] = [];
  const waits: number[] = [];
  const onEvent = (event: QuarryEvent): void => {
    if (event.type !== "trainStep" || event.step < WARM_UP) return;
    times.push(event.time);
    if (event.step > WARM_UP) waits.push(event.waitShare);
  };
  await trainFreely(context, training, onEvent, throttle?.wrap);
  const seconds = ((times.at(-1) as number) - (times[0] as number)) / 1_000;
  return {
    stepsPerSecond: waits.length / seconds,
    waitShare: waits.reduce((sum, each) => sum + each, 0) / waits.length,
  };
}
