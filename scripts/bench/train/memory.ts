/** Private memory of orchestrator and ranks, and what a large corpus adds to it. */
import { join } from "node:path";
import { anonymousBytes, withDescendants } from "../shared/children.js";
import { type Context, median } from "../shared/context.js";
import { PER_QUERY, writeCollection } from "./collection.js";
import { prepareData } from "./groups.js";
import { type Training, trainFreely } from "./quarry.js";
import { makeModel } from "./steps.js";

const QUERIES_PER_RANK = 8;
/** Steps before memory is looked at, and steps at which it is. */
const [WARM_UP, LOOKS] = [30, 40];
const MEGABYTES_PER_RANK = 20;
const FEW = 10;

interface Memory {
  readonly orchestrator: number;
  /** torchrun's own process and all ranks. */
  readonly others: number;
}

/** Summed Pss_Anon minus that of the same run on ten passages grows by at most 20 MB a rank. */
export async function measureMemory(context: Context): Promise<void> {
  const model = await makeModel(context, "stub");
  const many = context.quick ? 100_000 : 1_000_000;
  const texts = { passageWords: 40, queryWords: 8, model };
  for (const passages of [FEW, many]) writeCollection({ ...texts, folder: folderOf(context, passages), passages });
  const base = {
    ...{ model, cacheDir: join(context.folder, "cache"), negatives: PER_QUERY - 1, queryLength: 32, passageLength: 64 },
    ...{ steps: WARM_UP + LOOKS, threads: 1, device: "cpu", bf16: false },
  };
  const passages = many.toLocaleString("en-US");
  for (const count of [FEW, many]) {
    await prepareData({ ...base, collection: folderOf(context, count), ranks: 1, queries: QUERIES_PER_RANK });
  }
  for (const ranks of context.quick ? [2] : [2, 4, 8]) {
    const training = { ...base, ranks, queries: QUERIES_PER_RANK * ranks };
    const few = await look(context, { ...training, collection: folderOf(context, FEW) });
    const all = await look(context, { ...training, collection: folderOf(context, many) });
    const [ownGrowth, othersGrowth] = [all.orchestrator - few.orchestrator, all.others - few.others];
    const perRank = (ownGrowth + othersGrowth) / ranks;
    const sum = (memory: Memory): string => megabytes(memory.orchestrator + memory.others);
    context.tell(
      `${ranks} ranks, ${passages} passages: private memory beyond the same run on ${FEW} passages, a rank`,
      `${megabytes(perRank)} (${sum(all)}, ${sum(few)}; the orchestrator ${megabytes(all.orchestrator)}, of it ` +
        `${megabytes(ownGrowth)} more; torchrun and ranks ${megabytes(othersGrowth)} more)`,
      `≤ ${MEGABYTES_PER_RANK} MB`,
      perRank <= MEGABYTES_PER_RANK * 1e6,
    );
    context.numbers({ ranks, passages: many, few, all });
  }
}

const folderOf = (context: Context, passages: number): string => join(context.folder, `collection-${passages}`);

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** Trains and looks at the memory of all processes at each of the last steps; medians. */
async function look(context: Context, training: Training): Promise<Memory> {
  context.note(`memory: ${training.ranks} rank(s) on ${training.collection.split("-").at(-1)} passages`);
  const looks: (Memory & { readonly living: number })[] = [];
  await trainFreely(context, training, (event, pid) => {
    // The last step is followed by a checkpoint and the end.
    if (event.type !== "trainStep" || event.step <= WARM_UP || event.step === training.steps) return;
    const others = withDescendants(pid).flatMap((each) => (each === pid ? [] : [anonymousBytes(each)]));
    looks.push({
      orchestrator: anonymousBytes(pid),
      others: others.reduce((sum, bytes) => sum + bytes, 0),
      living: others.filter((bytes) => bytes > 0).length,
    });
  });
  // A look at many ranks takes longer than their steps: the last ones may find some ended.
  const most = Math.max(...looks.map(({ living }) => living));
  const whole = looks.filter(({ living }) => living === most);
  if (most < training.ranks) throw new Error("The training ended before its memory was looked at.");
  return {
    orchestrator: median(whole.map(({ orchestrator }) => orchestrator)),
    others: median(whole.map(({ others }) => others)),
  };
}
