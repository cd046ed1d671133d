/** The last step of the algebra: which score counts instead of the one written. */
import { QuarryError } from "../../errors.js";
import type { SourceConfig } from "../../experiment/schema.js";
import { dataError } from "../failures.js";
import { formatFloat32 } from "../float32.js";
import { callTransform, type TripletSource } from "./function-calls.js";

type Option = NonNullable<SourceConfig["scoreTransform"]>;
type ScoreMap = Extract<Option, { map: unknown }>;

/** Gives the new score of a judgement. */
export type Transform = (queryRow: number, passageRow: number, score: number) => number;

/**
 * Floor, ceil and round are the mathematical ones, halves up: floor of -1.5 is -2. (Trove's floor is Python's int(),
 * which gives -1.)
 *
 * @throws QuarryError CONFIG for a map whose keys are no numbers, or the same number twice, and for scores that float32
 * does not hold. The function that is given raises DATA, with file and line, for a score that the map does not name.
 */
export function transformOf(option: Option, source: TripletSource): Transform {
  if (typeof option === "number") {
    checkScore(option, `${option}`);
    return () => option;
  }
  // Adding 0 turns -0 into 0.
  if (option === "floor") return (_query, _passage, score) => Math.floor(score) + 0;
  if (option === "ceil") return (_query, _passage, score) => Math.ceil(score) + 0;
  if (option === "round") return (_query, _passage, score) => Math.round(score) + 0;
  if ("map" in option) return byMap(option, source);
  return (query, passage, score) => callTransform(option, source, query, passage, score);
}

function byMap({ map, otherwise }: ScoreMap, source: TripletSource): Transform {
  const scores = new Map<number, number>();
  for (const [key, score] of Object.entries(map)) {
    // Scores are float32, so the keys are compared as such: "0.7" means what a 0.7 in a file means.
    const from = key.trim() === "" ? Number.NaN : Math.fround(Number(key));
    if (!Number.isFinite(from)) {
      throw new QuarryError("CONFIG", `scoreTransform.map: ${JSON.stringify(key)} is no score.`, {
        hint: "Name the scores as numbers, e.g. { map: { 1: 0, 2: 1 } }.",
      });
    }
    const before = scores.get(from);
    if (before !== undefined && before !== score) {
      throw new QuarryError(
        "CONFIG",
        `scoreTransform.map: ${JSON.stringify(key)} stands for a score that is named twice.`,
        {
          hint: "Scores are kept as float32 (7 digits); remove one of the two.",
        },
      );
    }
    checkScore(score, `map[${JSON.stringify(key)}]: ${score}`);
    scores.set(from, score);
  }
  if (otherwise !== undefined) checkScore(otherwise, `otherwise: ${otherwise}`);
  return (queryRow, passageRow, score) => {
    const mapped = scores.get(score) ?? otherwise;
    if (mapped !== undefined) return mapped;
    const { file, line } = source.origin(queryRow, passageRow) ?? { file: "qrels", line: 0 };
    const ids = `query ${JSON.stringify(source.queries.id(queryRow))}, passage ${JSON.stringify(source.passages.id(passageRow))}`;
    throw dataError(
      file,
      line,
      `scoreTransform.map names no new score for ${formatFloat32(score)} (${ids}).`,
      "Add the score to the map, or name one for all others with the option otherwise.",
    );
  };
}

function checkScore(score: number, where: string): void {
  if (Number.isFinite(Math.fround(score))) return;
  throw new QuarryError("CONFIG", `scoreTransform ${where} is no score that float32 holds.`, {
    hint: "Use a number between -3.4e38 and 3.4e38.",
  });
}
