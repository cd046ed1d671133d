/** Opens the sources of a training set and lays the views over them. */
import { QuarryError } from "../../errors.js";
import type { MixConfig, SearchDataConfig, SourceConfig, TrainingDataConfig } from "../../experiment/schema.js";
import { jsonDigest } from "../../json-digest.js";
import { policyOf } from "../findings.js";
import type { MergedQrels } from "../qrels/merged.js";
import type { PositivesOf } from "../qrels/relevant.js";
import { partSeed } from "../random.js";
import { type OpenedSources, openSources } from "../source.js";
import { listFiles } from "../source-files.js";
import { TextPool } from "../texts/text-pool.js";
import type { DataContext, TrainingSet } from "../types.js";
import { missingIn } from "./ascending.js";
import { BinaryView, eligiblePairs, usableNegatives } from "./binary.js";
import { judgedQueries, refuseTooFew, tellLeftOut } from "./left-out.js";
import { checkSizes, MixedSet, type MixPart } from "./mix.js";
import { gradedCount, gradedQueries, MultiLevelView } from "./multi-level.js";
import { NO_RELATIONS, openRelations } from "./relations.js";
import type { View, ViewParts } from "./view.js";

/** Changes when the same options give other groups. */
const VIEW_VERSION = "views/4";

type ViewConfig = Exclude<TrainingDataConfig, MixConfig>;

/**
 * What a model learns from, ready for planStep.
 *
 * @throws QuarryError CONFIG, DATA or ENVIRONMENT.
 */
export async function openTrainingSet(data: TrainingDataConfig, context: DataContext): Promise<TrainingSet> {
  const passages = new TextPool();
  const refreshed = context.refreshed ?? [];
  if (data.kind !== "mix") return openView(data, context, { queries: new TextPool(), passages }, refreshed.includes(0));
  const parts: MixPart[] = [];
  try {
    for (const [index, part] of data.parts.entries()) {
      const queries = new TextPool();
      const own = { ...context, seed: partSeed(context.seed, index) };
      const set = await openView(part.data, own, { queries, passages }, refreshed.includes(index));
      parts.push({ set, queries, weight: part.weight ?? set.queryCount, name: part.name });
    }
    checkSizes(parts);
    const { batches } = data;
    const { seed } = context;
    const fingerprint = hashOf(["mix", batches, seed, parts.map(({ set, weight }) => [set.fingerprint, weight])]);
    return new MixedSet(parts, { batches, seed, fingerprint });
  } catch (thrown) {
    for (const { set } of parts) set.close();
    throw thrown;
  }
}

interface Pools {
  readonly queries: TextPool;
  readonly passages: TextPool;
}

/** What has been opened of a view so far. */
class Opening {
  readonly #opened: OpenedSources[] = [];

  constructor(
    readonly context: DataContext,
    readonly pools: Pools,
  ) {}

  async open(
    data: SearchDataConfig,
    view: PositivesOf | null = null,
  ): Promise<{ readonly sources: OpenedSources; readonly qrels: MergedQrels }> {
    const stream = this.#opened.reduce((sum, each) => sum + each.sources.length, 0);
    const sources = await openSources(data, this.context, { ...this.pools, stream }, view);
    this.#opened.push(sources);
    if (sources.qrels !== null) return { sources, qrels: sources.qrels };
    throw new QuarryError("CONFIG", "A training source has no qrels.", {
      hint: "Name its judgements with the option qrels.",
    });
  }

  /** @param shape whatever shapes a group besides the sources. */
  parts(data: ViewConfig, passagesPerQuery: number, shape: unknown): ViewParts {
    const { seed } = this.context;
    const sources = this.#opened.map((each) => each.fingerprint);
    const fingerprint = hashOf([data.kind, passagesPerQuery, data.tooFew, seed, sources, shape]);
    const close = (): void => this.close();
    // A check has been told of all of them, and goes on.
    const tooFew = this.context.isCheck === true && data.tooFew === "error" ? "fewer" : data.tooFew;
    return { ...this.pools, passagesPerQuery, tooFew, seed, fingerprint, name: nameOf(data), close };
  }

  close(): void {
    for (const sources of this.#opened) sources.close();
  }
}

async function openView(data: ViewConfig, context: DataContext, pools: Pools, isRefreshed: boolean): Promise<View> {
  const opening = new Opening(context, pools);
  try {
    return data.kind === "multiLevel" ? await openGraded(data, opening) : await openPaired(data, opening, isRefreshed);
  } catch (thrown) {
    opening.close();
    throw thrown;
  }
}

async function openPaired(
  data: Exclude<ViewConfig, { kind: "multiLevel" }>,
  opening: Opening,
  isRefreshed: boolean,
): Promise<View> {
  const { context, pools } = opening;
  if (data.negativesPerQuery > 0 && data.negatives === undefined && !isRefreshed) {
    throw new QuarryError("CONFIG", `negativesPerQuery is ${data.negativesPerQuery}, but there are no negatives.`, {
      hint: "Name their source with the option negatives, or set negativesPerQuery to 0 for in-batch negatives only.",
    });
  }
  const positives = await opening.open(data.positives, data.kind);
  const negatives =
    data.negativesPerQuery > 0 && data.negatives !== undefined ? await opening.open(data.negatives) : null;
  const relations =
    negatives === null ? NO_RELATIONS : await openRelations(positives.sources, negatives.sources, context);
  const qrels = { positives: positives.qrels, negatives: negatives?.qrels ?? null, relations };
  const eligible = eligiblePairs(isRefreshed ? { ...qrels, negatives: null } : qrels);
  const passagesPerQuery = 1 + data.negativesPerQuery;
  const judged = judgedQueries(positives.qrels);
  const out = {
    judgedCount: judged.length,
    withoutPositives: missingIn(judged, positives.qrels.queryRows),
    withoutOthers: missingIn(positives.qrels.queryRows, eligible),
  };
  tellLeftOut({ name: nameOf(data), kind: data.kind }, out, eligible.length, pools.queries, context);
  const sizeOf = (query: number): number => 1 + usableNegatives(qrels, query, 0).rows.length;
  if (data.tooFew === "error") {
    refuseTooFew(nameOf(data), eligible, sizeOf, passagesPerQuery, pools.queries, context);
  }
  const { positiveChoice, negativeChoice } = data;
  const isDropped = relations.queries.length > 0 && policyOf(context, "duplicateTexts") === "drop";
  return new BinaryView(
    opening.parts(data, passagesPerQuery, [positiveChoice, negativeChoice, isDropped, ...(isRefreshed ? [true] : [])]),
    data,
    qrels,
    eligible,
  );
}

async function openGraded(data: Extract<ViewConfig, { kind: "multiLevel" }>, opening: Opening): Promise<View> {
  const { context, pools } = opening;
  const { qrels } = await opening.open({ kind: "combined", sources: data.sources, merge: data.merge });
  const { eligible, withoutOthers, largest } = gradedQueries(qrels, data.passagesPerQuery);
  const judged = judgedQueries(qrels);
  const withoutPositives = missingIn(missingIn(judged, eligible), withoutOthers);
  const out = { judgedCount: judged.length, withoutPositives, withoutOthers };
  tellLeftOut({ name: nameOf(data), kind: data.kind }, out, eligible.length, pools.queries, context);
  const passagesPerQuery = data.selection === "all" ? Math.min(largest, data.passagesPerQuery) : data.passagesPerQuery;
  const sizeOf = (query: number): number => gradedCount(qrels, query, passagesPerQuery);
  if (data.tooFew === "error") {
    refuseTooFew(nameOf(data), eligible, sizeOf, passagesPerQuery, pools.queries, context);
  }
  return new MultiLevelView(opening.parts(data, passagesPerQuery, [data.selection]), data, qrels, eligible);
}

/** The names of the sources that say what to learn, else their files. */
function nameOf(data: ViewConfig): string {
  const wanted = data.kind === "multiLevel" ? data.sources : data.positives;
  const sources: readonly SourceConfig[] =
    "kind" in wanted ? (wanted.kind === "combined" ? wanted.sources : [wanted]) : wanted;
  const names = sources.flatMap(({ name, qrels }) =>
    name !== undefined ? [name] : qrels === undefined ? [] : listFiles(qrels).map(({ path }) => path),
  );
  return [...new Set(names)].join(", ");
}

function hashOf(shape: unknown): string {
  return jsonDigest([VIEW_VERSION, shape]);
}
