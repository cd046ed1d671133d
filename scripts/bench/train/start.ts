/** From the start of the process to the first loss, and what Quarry's start is made of. */
import { join } from "node:path";
import type { QuarryEvent } from "../../../src/report/events.js";
import { type Context, median } from "../shared/context.js";
import { PER_QUERY, writeCollection } from "./collection.js";
import { writeGroups } from "./groups.js";
import { quarryCommand, type Training } from "./quarry.js";
import { startRival } from "./rival.js";
import { type RivalName, startTraining, TITLES } from "./rivals.js";
import { makeModel } from "./steps.js";

const OTHERS: readonly RivalName[] = ["trainer", "sentence-transformers", "trove"];
const [QUERIES, PASSAGES] = [4, 3_000];
const ADDITION = 1;

/** Moments of Quarry's start, in seconds from the start of its process. */
const STAGES = {
  "Node and the command line": isFirst("runStarted"),
  "opening the data": isWorker("starting"),
  "torchrun until the rank says hello": isWorker("loading"),
  "the rank's imports and the model": isWorker("ready"),
} as const;

function isFirst(type: QuarryEvent["type"]): (event: QuarryEvent) => boolean {
  return (event) => event.type === type;
}

function isWorker(state: string): (event: QuarryEvent) => boolean {
  return (event) => event.type === "worker" && event.state === state;
}

/** No slower than sentence-transformers' trainer, and at most a second beyond a plain script around Trainer. */
export async function measureStart(context: Context): Promise<void> {
  const folder = join(context.folder, "collection");
  const model = await makeModel(context, "real");
  writeCollection({ folder, passages: PASSAGES, passageWords: 12, queryWords: 6, model });
  const training: Training = {
    ...{ model, collection: folder, cacheDir: join(context.folder, "cache"), queries: QUERIES, steps: 1 },
    ...{ negatives: PER_QUERY - 1, queryLength: 32, passageLength: 128 },
    ...{ threads: context.threads, ranks: 1, device: context.device, bf16: false },
  };
  const groups = join(folder, "groups.jsonl");
  // Opens the data too: what it costs the first time is bench:data's matter.
  await writeGroups(groups, training);
  const rounds = context.quick ? 1 : 5;
  const seconds: Record<string, number[]> = Object.fromEntries(["quarry", ...OTHERS].map((name) => [name, []]));
  const stages: Record<string, number[]> = Object.fromEntries(Object.keys(STAGES).map((name) => [name, []]));
  for (let round = -1; round < rounds; round += 1) {
    const order: RivalName[] = ["quarry", ...OTHERS];
    if (round % 2 === 0) order.reverse();
    for (const name of order) {
      const found =
        name === "quarry" ? await quarryStart(context, training) : await otherStart(context, name, training, groups);
      // The first round brings libraries into the page cache.
      if (round < 0) continue;
      seconds[name]?.push(found.seconds);
      for (const [stage, at] of Object.entries(found.stages)) stages[stage]?.push(at);
    }
    context.note(`start: round ${round + 1} of ${rounds}`);
  }
  tell(context, seconds, stages);
}

interface Start {
  readonly seconds: number;
  /** Seconds from the start of the process. */
  readonly stages: Readonly<Record<string, number>>;
}

async function quarryStart(context: Context, training: Training): Promise<Start> {
  const times: Record<string, number> = {};
  const began = Date.now();
  const onEvent = (event: QuarryEvent): void => {
    for (const [stage, isIt] of Object.entries(STAGES)) {
      if (times[stage] === undefined && isIt(event)) times[stage] = (event.time - began) / 1_000;
    }
  };
  const rival = await startRival(await quarryCommand(context, training, { isGated: true, onEvent }));
  const { seconds } = await rival.first;
  await rival.finish();
  return { seconds, stages: times };
}

async function otherStart(context: Context, name: RivalName, training: Training, groups: string): Promise<Start> {
  const rival = await startTraining(context, name, training, groups);
  const { seconds } = await rival.first;
  await rival.finish();
  return { seconds, stages: {} };
}

function tell(
  context: Context,
  seconds: Readonly<Record<string, readonly number[]>>,
  stages: Readonly<Record<string, readonly number[]>>,
): void {
  const of = (name: string): readonly number[] => seconds[name] as readonly number[];
  const told = (name: string): string => `${median(of(name)).toFixed(2)} s`;
  const difference = (other: string): number =>
    median(of("quarry").map((value, round) => value - (of(other)[round] as number)));
  const beyond = difference("trainer");
  const plain = `${told("quarry")}, ${told("trainer")}`;
  context.tell(
    "process start to the first loss, MiniLM: Quarry's seconds beyond a plain script around transformers' Trainer",
    `${beyond.toFixed(2)} s (${plain})`,
    `≤ ${ADDITION} s`,
    beyond <= ADDITION,
  );
  const behind = difference("sentence-transformers");
  const theirs = told("sentence-transformers");
  context.tell(
    `the same beyond ${TITLES["sentence-transformers"]}`,
    `${behind.toFixed(2)} s (${theirs})`,
    "≤ 0 s",
    behind <= 0,
  );
  context.tell(`the same beyond ${TITLES.trove}`, `${difference("trove").toFixed(2)} s (${told("trove")})`);
  let before = 0;
  const parts = Object.entries(stages).map(([stage, at]) => {
    const [reached, since] = [median(at), before];
    before = reached;
    return `${stage} ${(reached - since).toFixed(2)} s`;
  });
  const last = `the first batch and its forward ${(median(of("quarry")) - before).toFixed(2)} s`;
  context.tell("what Quarry's start is made of", [...parts, last].join(", "));
  context.numbers({ seconds, stages });
}
