/** What the batch of a training step holds, each text traced to its file and line and to the judgement that chose it. */
import { buildMicroBatch, isMasked } from "../batches.js";
import { planStep } from "../plan.js";
import { gatheredStrings } from "../texts/gathered.js";
import type { DataContext, Group, JudgementOrigin, MicroBatch, Origin, TrainingSet } from "../types.js";
import { openTrainingSet } from "../views/open-training-set.js";
import type { InspectedData, InspectedTraining } from "./inspected.js";

/** A text as it travels to the workers: templates are applied, prompts and tokenising are theirs. */
export interface ShownText {
  readonly id: string;
  readonly title: string;
  readonly text: string;
  /** The source's or record's own prompt; null for the model's. */
  readonly prompt: string | null;
  /** Further fields that plugins get; left out where the source asks for none. */
  readonly extras?: Readonly<Record<string, unknown>>;
  readonly origin: Origin;
}

export interface ShownPassage extends ShownText {
  readonly label: number;
  /** A padding repeats the first passage and counts for nothing. */
  readonly role: "positive" | "negative" | "padding";
  /** Queries of the step that its column is masked for. */
  readonly maskedFor: number;
  /** Where it was judged for this query, and the source it came through; null for a padding. */
  readonly judged: { readonly origin: Origin; readonly source: string } | null;
}

export interface ShownGroup {
  /** Place in the training's whole sequence of groups. */
  readonly place: number;
  readonly epoch: number;
  /** The part of a mix, or the training data as a whole. */
  readonly part: string;
  readonly query: ShownText;
  readonly passages: readonly ShownPassage[];
}

export interface ShownStep {
  /** Counts from 0, as the plan does: the batch that leads to the weights after step + 1. */
  readonly step: number;
  readonly seed: number;
  readonly stepsPerEpoch: number;
  readonly globalBatchSize: number;
  readonly passagesPerQuery: number;
  readonly fingerprint: string;
  /** Places where a known positive of a query, or a copy of one, stands in another query's group. */
  readonly maskedPositives: number;
  readonly groups: readonly ShownGroup[];
}

/**
 * A pure function of data, seed and step. The mask is counted over the whole batch as one micro-step.
 *
 * @throws RangeError for a step below 0.
 * @throws QuarryError CONFIG, DATA or ENVIRONMENT.
 */
export async function showStepOf(
  { sources, train }: InspectedData & { readonly train: InspectedTraining },
  context: DataContext,
  step: number,
): Promise<ShownStep> {
  if (!(Number.isSafeInteger(step) && step >= 0)) throw new RangeError(`step ${step} is not a whole number from 0 on`);
  const { data, globalBatchSize } = train;
  const set = await openTrainingSet(data, context);
  try {
    const groups = planStep(set, step, globalBatchSize);
    return showGroups(set, groups, { sources, train }, { step, first: 0, seed: context.seed });
  } finally {
    set.close();
  }
}

/**
 * Shows groups that were planned already, as one micro-step.
 *
 * @param of the step, the place of the first group in it, and the seed that the set was opened with
 */
export function showGroups(
  set: TrainingSet,
  groups: readonly Group[],
  { sources, train }: Pick<InspectedData, "sources"> & { readonly train: InspectedTraining },
  of: { readonly step: number; readonly first: number; readonly seed: number },
): ShownStep {
  const { globalBatchSize } = train;
  const share = { rank: 0, worldSize: 1, microStep: 0, accumulationSteps: 1, queriesPerRank: groups.length };
  const batch = buildMicroBatch(set, groups, share);
  return {
    step: of.step,
    seed: of.seed,
    stepsPerEpoch: Math.ceil(set.queryCount / globalBatchSize),
    globalBatchSize,
    passagesPerQuery: set.passagesPerQuery,
    fingerprint: set.fingerprint,
    maskedPositives: batch.maskedPositives,
    groups: shownGroups(set, groups, batch, of.step * globalBatchSize + of.first, globalBatchSize, sources),
  };
}

function shownGroups(
  set: TrainingSet,
  groups: readonly Group[],
  batch: MicroBatch,
  firstPlace: number,
  globalBatchSize: number,
  sources: InspectedData["sources"],
): ShownGroup[] {
  const queries = textsOf(batch.queries);
  const passages = textsOf(batch.passages);
  const perQuery = set.passagesPerQuery;
  return groups.map((group, at) => {
    const place = firstPlace + at;
    const { epoch } = set.at(place, globalBatchSize);
    const query = { id: set.queryId(group.query), ...queries(at), origin: set.queryOrigin(group.query) };
    return {
      place,
      epoch,
      part: set.partName(group.part),
      query,
      passages: [...group.passages].map((row, index) => {
        const column = at * perQuery + index;
        const isPadding = index >= group.count;
        const id = set.passageId(row);
        const origin = set.passageOrigin(row);
        const isPositive = index === 0 || set.isKnownPositive(group.query, row);
        return {
          id,
          ...passages(column),
          origin,
          label: group.labels[index] as number,
          role: isPadding ? ("padding" as const) : isPositive ? ("positive" as const) : ("negative" as const),
          maskedFor: countMasked(batch, column),
          judged: judgedIn(set.judgement(group, index, epoch), sources),
        };
      }),
    };
  });
}

function textsOf(stream: Uint8Array): (at: number) => Pick<ShownText, "title" | "text" | "prompt" | "extras"> {
  const columns = gatheredStrings(stream);
  const [title, text, prompt, extras] = (["title", "text", "prompt", "extras"] as const).map(columns);
  return (at) => ({
    title: title?.(at) ?? "",
    text: text?.(at) ?? "",
    prompt: prompt?.(at) ?? null,
    ...(extras == null ? {} : { extras: JSON.parse(extras(at) ?? "{}") as Record<string, unknown> }),
  });
}

function countMasked({ mask, columnCount, queryCount }: MicroBatch, column: number): number {
  let count = 0;
  for (let query = 0; query < queryCount; query += 1)
    count += Number(isMasked(mask[query * columnCount + column] as number));
  return count;
}

/** A source without a name is called by its option. */
function judgedIn(judgement: JudgementOrigin | null, sources: InspectedData["sources"]): ShownPassage["judged"] {
  if (judgement === null) return null;
  const { origin, source } = judgement;
  const [option] = sources.find(([, placed]) => placed === source) ?? ["train.refresh"];
  return { origin, source: source.name ?? option };
}
