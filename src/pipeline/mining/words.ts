/** What is told of mining: which rule dropped how many, and what to change where queries went short. */
import type { MineConfig } from "../../experiment/schema.js";
import type { MiningReport } from "./report.js";
import type { DropReason } from "./types.js";

const WORDS: Readonly<Record<DropReason, string>> = {
  annotated: "judged for the query",
  sameId: "the query's own id",
  queryText: "the very text of the query",
  positiveText: "the very text of a positive",
  repeatedText: "the very text of a candidate before it",
  standIn: "standing in for the positive",
  maxScore: "above mine.maxScore",
  minScore: "below mine.minScore",
  unknownPositive: "above a positive that was not retrieved",
  absoluteMargin: "within mine.absoluteMargin",
  relativeMargin: "within mine.relativeMargin",
  filter: "refused by mine.filter",
  rescoreMaxScore: "above mine.rescore.maxScore",
  rescoreMinScore: "below mine.rescore.minScore",
  rescoreAbsoluteMargin: "within mine.rescore.absoluteMargin",
  rescoreRelativeMargin: "within mine.rescore.relativeMargin",
  outOfRange: "outside of the range of ranks",
};

const number = (value: number): string => value.toLocaleString("en-US");

/** The rows of the closing table: all candidates, those that each rule dropped, and what became of the others. */
export function reportRows({ candidates, dropped, notChosen, queries }: MiningReport): [string, number][] {
  return [
    ["candidates", candidates],
    ...(Object.entries(dropped) as [DropReason, number][]).map(([reason, count]): [string, number] => [
      `dropped: ${WORDS[reason]}`,
      count,
    ]),
    ["left over", notChosen],
    ["queries with fewer negatives", queries.withFewer],
  ];
}

/** What to say where queries have fewer negatives than asked for; null where none has. */
export function warningOf(
  { queries, dropped }: MiningReport,
  options: MineConfig,
): { message: string; hint: string } | null {
  if (queries.withFewer === 0) return null;
  const loosen = (
    [
      ["rangeMin", "outOfRange"],
      ["maxScore", "maxScore"],
      ["minScore", "minScore"],
      ["absoluteMargin", "absoluteMargin"],
      ["relativeMargin", "relativeMargin"],
    ] as const
  ).filter(([, reason]) => (dropped[reason] ?? 0) > 0);
  const names = loosen
    .map(([option]) => `mine.${option}`)
    .filter((option) => option !== "mine.rangeMin" || options.rangeMin > 0);
  if ((dropped.unknownPositive ?? 0) > 0) names.push('mine.marginTo (to "best")');
  const hint = names.length === 0 ? "Raise mine.topK." : `Raise mine.topK, or loosen ${names.join(", ")}.`;
  const none = queries.withNone === 0 ? "" : `, ${number(queries.withNone)} of them none`;
  return {
    message: `${number(queries.withFewer)} of ${number(queries.count)} queries have fewer than ${options.negativesPerQuery} negatives${none}`,
    hint,
  };
}
