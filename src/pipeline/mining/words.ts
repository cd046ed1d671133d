/** What is told of mining: which rule dropped how many, and what to change where queries went short. */
import { counted } from "../../counted.js";
import type { MineConfig } from "../../experiment/schema.js";
import { formatCount } from "../../report/format.js";
import type { WrittenFile } from "./output/writer.js";
import type { MiningReport } from "./report.js";
import type { DropReason } from "./types.js";

const WORDS: Readonly<Record<DropReason, string>> = {
  annotated: "judged for the query",
  sameId: "the query's own id",
  queryText: "the very text of the query",
  positiveText: "the very text of a positive",
  repeatedText: "the very text of a candidate before it",
  standIn: "standing in for the positive",
  maxScore: "above",
  minScore: "below",
  unknownPositive: "above a positive that was not retrieved",
  absoluteMargin: "within",
  relativeMargin: "within",
  filter: "refused by mine.filter",
  notRescored: "beyond mine.rescore.topK",
  rescoreMaxScore: "above mine.rescore.maxScore",
  rescoreMinScore: "below mine.rescore.minScore",
  rescoreAbsoluteMargin: "within mine.rescore.absoluteMargin",
  rescoreRelativeMargin: "within mine.rescore.relativeMargin",
  outOfRange: "outside of the range of ranks",
};

/** The limits on retrievers' scores: each may stand in mine and in any retriever, which the report does not tell apart. */
const LIMITS = ["maxScore", "minScore", "absoluteMargin", "relativeMargin"] as const;

function placesOf(limit: (typeof LIMITS)[number], { retrievers, ...mine }: MineConfig): string {
  const sections = [["mine", mine] as const, ...retrievers.map((each, at) => [`mine.retrievers.${at}`, each] as const)];
  return sections.flatMap(([path, each]) => (each[limit] === undefined ? [] : [`${path}.${limit}`])).join(" or ");
}

function wordsOf(reason: DropReason, options: MineConfig): string {
  const limit = LIMITS.find((each) => each === reason);
  return limit === undefined ? WORDS[reason] : `${WORDS[reason]} ${placesOf(limit, options)}`;
}

/** The rows of the closing table: all candidates, those that each rule dropped, and what became of the others. */
export function reportRows(report: MiningReport, options: MineConfig): [string, number][] {
  const { candidates, dropped, notChosen, queries } = report;
  return [
    ["candidates", candidates],
    ...(Object.entries(dropped) as [DropReason, number][]).map(([reason, count]): [string, number] => [
      `dropped: ${wordsOf(reason, options)}`,
      count,
    ]),
    ["left over", notChosen],
    ["queries with fewer negatives", queries.withFewer],
  ];
}

interface Warning {
  readonly message: string;
  readonly hint: string | null;
}

/** What a user should know: queries that went short, lines that are not there. */
export function warningsOf(report: MiningReport, files: readonly WrittenFile[], options: MineConfig): Warning[] {
  const { positivesLeftOut } = report.scores;
  const short = files.filter(({ queriesLeftOut }) => queriesLeftOut > report.queries.withNone);
  const reason =
    options.minNegatives > 0 ? "no positive, or too few negatives" : "no positive, or no full set of negatives";
  return [
    ...fewNegatives(report, options),
    ...short.map(({ file, queriesLeftOut }) => ({
      message: `${formatCount(queriesLeftOut)} of ${counted(report.queries.count, "queries")} ${queriesLeftOut === 1 ? `is not in ${file}: it has` : `are not in ${file}: they have`} ${reason}`,
      hint: null,
    })),
    ...(positivesLeftOut === 0
      ? []
      : [
          {
            message: `${counted(positivesLeftOut, "positives are left out of the files: they were not retrieved, so they have", "positive is left out of the files: it was not retrieved, so it has")} no score to write`,
            hint: "Raise mine.topK, or write without mine.scores.",
          },
        ]),
  ];
}

function fewNegatives({ queries, dropped }: MiningReport, options: MineConfig): Warning[] {
  if (queries.withFewer === 0) return [];
  const reasons = [
    ["mine.rangeMin", options.rangeMin > 0 && dropped.outOfRange],
    ...LIMITS.map((limit) => [placesOf(limit, options), dropped[limit]] as const),
    ['mine.marginTo (to "best")', dropped.unknownPositive],
    ["mine.rescore.topK", dropped.notRescored],
    ["mine.rescore.maxScore", dropped.rescoreMaxScore],
    ["mine.rescore.minScore", dropped.rescoreMinScore],
    ["mine.rescore.absoluteMargin", dropped.rescoreAbsoluteMargin],
    ["mine.rescore.relativeMargin", dropped.rescoreRelativeMargin],
    ["mine.filter", dropped.filter],
  ] as const;
  const names = reasons.filter(([, count]) => count !== false && (count ?? 0) > 0).map(([option]) => option);
  const none = queries.withNone === 0 ? "" : `, ${formatCount(queries.withNone)} of them none`;
  return [
    {
      message: `${formatCount(queries.withFewer)} of ${counted(queries.count, "queries")} ${queries.withFewer === 1 ? "has" : "have"} fewer than ${counted(options.negativesPerQuery, "negatives")}${none}`,
      hint: names.length === 0 ? "Raise mine.topK." : `Raise mine.topK, or loosen ${names.join(", ")}.`,
    },
  ];
}
