/** Opens the sources of a training set and lays the view over them. */
import { createHash } from "node:crypto";
import { QuarryError } from "../../errors.js";
import type { SourceConfig, TrainConfig } from "../../experiment/schema.js";
import { counted } from "../failures.js";
import { type OpenedSource, openSource } from "../source.js";
import type { DataContext, TrainingSet } from "../types.js";
import { warn } from "../warnings.js";
import { type BinarySide, BinaryView, type LeftOut } from "./binary.js";
import { MultiLevelView } from "./multi-level.js";
import { Numbering } from "./numbering.js";
import type { ViewParts } from "./view.js";

/** Changes when the same options give other groups. */
const VIEW_VERSION = "views/2";

/** The smallest score above 0 that float32 holds. */
const LEAST_SCORE = 2 ** -149;

/**
 * What a model learns from, ready for planStep.
 *
 * @throws QuarryError CONFIG, DATA or ENVIRONMENT.
 */
export async function openTrainingSet(data: TrainConfig["data"], context: DataContext): Promise<TrainingSet> {
  const opened: OpenedSource[] = [];
  const close = (): void => {
    for (const source of opened) source.close();
  };
  try {
    const hasNegatives = data.kind === "binary" && data.negativesPerQuery > 0;
    if (data.kind === "binary") checkNegatives(data, context);
    const sources =
      data.kind === "multiLevel"
        ? data.sources
        : [onlyRelevant(data.positives), ...(hasNegatives && data.negatives !== undefined ? [data.negatives] : [])];
    for (const [stream, source] of sources.entries()) opened.push(await openSource(source, context, stream));
    const queries = new Numbering();
    const passages = new Numbering();
    const sides = opened.map((source, index) => sideOf(source, sources[index] as SourceConfig, queries, passages));
    const passagesPerQuery = data.kind === "multiLevel" ? data.passagesPerQuery : 1 + data.negativesPerQuery;
    const shape = [VIEW_VERSION, data.kind, passagesPerQuery, context.seed, opened.map((each) => each.fingerprint)];
    const fingerprint = createHash("sha256").update(JSON.stringify(shape)).digest("hex");
    const parts: ViewParts = { queries, passages, passagesPerQuery, fingerprint, close };
    const [positives, negatives] = sides;
    const view =
      data.kind === "multiLevel"
        ? new MultiLevelView(parts, sides, context.seed)
        : new BinaryView(parts, {
            positives: positives as BinarySide,
            negatives: negatives ?? null,
            seed: context.seed,
          });
    tellLeftOut(view.leftOut, view.queryCount, context);
    return view;
  } catch (thrown) {
    close();
    throw thrown;
  }
}

function checkNegatives(data: Extract<TrainConfig["data"], { kind: "binary" }>, context: DataContext): void {
  if (data.negativesPerQuery > 0 && data.negatives === undefined) {
    throw new QuarryError(
      "CONFIG",
      `negativesPerQuery is ${data.negativesPerQuery}, but there is no source of negatives.`,
      {
        hint: "Give train.data.negatives, or set negativesPerQuery to 0 for in-batch negatives only.",
      },
    );
  }
  if (data.negativesPerQuery === 0 && data.negatives !== undefined) {
    warn(context, "train.data.negatives is not used: negativesPerQuery is 0.", "Set train.data.negativesPerQuery.");
  }
}

/** What is judged 0 or less is no positive, unless the source's own minScore says so. */
function onlyRelevant(positives: SourceConfig): SourceConfig {
  return positives.minScore === undefined ? { ...positives, minScore: LEAST_SCORE } : positives;
}

function sideOf(source: OpenedSource, config: SourceConfig, queries: Numbering, passages: Numbering): BinarySide {
  if (source.qrels === null || source.queries === null) {
    throw new QuarryError("CONFIG", `The training source over ${config.corpus} has no qrels.`, {
      hint: "Name its judgements with the option qrels.",
    });
  }
  queries.add(source.queries);
  return { qrels: source.qrels, queries: source.queries, passageOffset: passages.add(source.passages) };
}

function tellLeftOut(leftOut: LeftOut, queryCount: number, context: DataContext): void {
  const { judgedCount, withoutPositives, withoutNegatives } = leftOut;
  const reasons: string[] = [];
  if (withoutPositives > 0) reasons.push(`${withoutPositives.toLocaleString("en-US")} without a positive`);
  if (withoutNegatives > 0) reasons.push(`${withoutNegatives.toLocaleString("en-US")} without a passage beside it`);
  if (queryCount === 0) {
    throw new QuarryError("DATA", `No query can form a group: ${reasons.join(", ")}.`, {
      hint: "Check that positives and negatives judge the same queries, and widen minScore and maxScore.",
    });
  }
  if (reasons.length === 0) return;
  const outCount = withoutPositives + withoutNegatives;
  warn(
    context,
    `${counted(outCount, "query", "queries")} of ${judgedCount.toLocaleString("en-US")} cannot form a group and are left ` +
      `out: ${reasons.join(", ")}.`,
    null,
  );
}
