/** What the batch of a training step holds, each text traced to its file and line and to the judgement that chose it. */
import { tableFromIPC } from "apache-arrow";
import { buildMicroBatch, isMasked } from "../batches.js";
import { planStep } from "../plan.js";
import { type OpenedSource, openSource } from "../source.js";
import type { DataContext, Group, MicroBatch, Origin, TrainingSet } from "../types.js";
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
    return await showGroups(set, planStep(set, step, globalBatchSize), { sources, train }, context, { step, first: 0 });
  } finally {
    set.close();
  }
}

/**
 * Shows groups that were planned already, as one micro-step.
 *
 * @param of the step, and the place of the first group in it
 */
export async function showGroups(
  set: TrainingSet,
  groups: readonly Group[],
  { sources, train }: Pick<InspectedData, "sources"> & { readonly train: InspectedTraining },
  context: DataContext,
  of: { readonly step: number; readonly first: number },
): Promise<ShownStep> {
  const { globalBatchSize } = train;
  const placed = sources.filter(([option]) => option.startsWith("train."));
  const opened: OpenedSource[] = [];
  try {
    for (const [, source] of placed) opened.push(await openSource(source, context));
    const tracer = new Tracer(
      placed.map(([option]) => option),
      opened,
    );
    const share = { rank: 0, worldSize: 1, microStep: 0, accumulationSteps: 1, queriesPerRank: groups.length };
    const batch = buildMicroBatch(set, groups, share);
    return {
      step: of.step,
      seed: context.seed,
      stepsPerEpoch: Math.ceil(set.queryCount / globalBatchSize),
      globalBatchSize,
      passagesPerQuery: set.passagesPerQuery,
      fingerprint: set.fingerprint,
      maskedPositives: batch.maskedPositives,
      groups: shownGroups(set, groups, batch, of.step * globalBatchSize + of.first, globalBatchSize, tracer),
    };
  } finally {
    for (const source of opened) source.close();
  }
}

function shownGroups(
  set: TrainingSet,
  groups: readonly Group[],
  batch: MicroBatch,
  firstPlace: number,
  globalBatchSize: number,
  tracer: Tracer,
): ShownGroup[] {
  const queries = textsOf(batch.queries);
  const passages = textsOf(batch.passages);
  const perQuery = set.passagesPerQuery;
  return groups.map((group, at) => {
    const place = firstPlace + at;
    const query = { id: set.queryId(group.query), ...queries(at), origin: set.queryOrigin(group.query) };
    return {
      place,
      epoch: set.at(place, globalBatchSize).epoch,
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
          judged: isPadding ? null : tracer.find(query, { id, origin }, isPositive),
        };
      }),
    };
  });
}

function textsOf(stream: Uint8Array): (at: number) => Pick<ShownText, "title" | "text" | "prompt" | "extras"> {
  const table = tableFromIPC(stream);
  const column = (name: string) => table.getChild(name);
  const [title, text, prompt, extras] = ["title", "text", "prompt", "extras"].map(column);
  return (at) => ({
    title: String(title?.get(at) ?? ""),
    text: String(text?.get(at) ?? ""),
    prompt: (prompt?.get(at) ?? null) as string | null,
    ...(extras == null ? {} : { extras: JSON.parse((extras.get(at) ?? "{}") as string) as Record<string, unknown> }),
  });
}

function countMasked({ mask, columnCount, queryCount }: MicroBatch, column: number): number {
  let count = 0;
  for (let query = 0; query < queryCount; query += 1)
    count += Number(isMasked(mask[query * columnCount + column] as number));
  return count;
}

/** Finds the judgement behind a place of a group, in the sources as the experiment names them. */
class Tracer {
  constructor(
    private readonly options: readonly string[],
    private readonly sources: readonly OpenedSource[],
  ) {}

  find(
    query: { readonly id: string },
    passage: { readonly id: string; readonly origin: Origin },
    isPositive: boolean,
  ): ShownPassage["judged"] {
    // The last source of several counts; negatives are looked for among the sources of negatives first.
    const order = this.sources.map((_, index) => index).reverse();
    const isNegatives = (index: number): boolean => (this.options[index] as string).includes(".negatives");
    order.sort((one, other) => Number(isNegatives(one) === isPositive) - Number(isNegatives(other) === isPositive));
    for (const index of order) {
      const { config, queries, passages, qrels } = this.sources[index] as OpenedSource;
      const queryRow = queries?.rowOf(query.id) ?? -1;
      const row = passages.rowOf(passage.id);
      if (qrels === null || queryRow === -1 || row === -1 || !isSamePlace(passages.origin(row), passage.origin))
        continue;
      const origin = qrels.origin(queryRow, row);
      if (origin !== null) return { origin, source: config.name ?? (this.options[index] as string) };
    }
    return null;
  }
}

function isSamePlace(one: Origin, other: Origin): boolean {
  return one.file === other.file && one.line === other.line;
}
