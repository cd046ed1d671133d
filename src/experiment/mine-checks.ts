/** Checks between options of mining that each are fine alone; pure, no file is touched. */
import type { Problem } from "./explain.js";
import type { MineConfig } from "./schema.js";

/** Everything of a mine section that does not fit together. */
export function checkMine(mine: MineConfig): Problem[] {
  const problems: Problem[] = [];
  const say = (option: string, message: string): void => {
    problems.push({ path: ["mine", ...option.split(".")], message });
  };
  checkRange(mine, say);
  checkScores(mine, say);
  return problems;
}

type Say = (option: string, message: string) => void;

function checkRange({ topK, rangeMin, rangeMax, negativesPerQuery }: MineConfig, say: Say): void {
  if (rangeMax !== undefined && rangeMin >= rangeMax) {
    say("rangeMin", `the range from rank ${rangeMin} to below ${rangeMax} (mine.rangeMax) is empty`);
  } else if (rangeMin >= topK) {
    say("rangeMin", `skips all ${topK} retrieved passages (mine.topK)`);
  }
  if (rangeMax !== undefined && rangeMax > topK) {
    say(
      "rangeMax",
      `reaches to rank ${rangeMax}, but only ${topK} passages are retrieved; set mine.topK to ${rangeMax}`,
    );
  }
  const room = (rangeMax ?? topK) - rangeMin;
  if (room > 0 && negativesPerQuery > room) {
    say(
      "negativesPerQuery",
      `asks for ${negativesPerQuery}, but the range from rank ${rangeMin} to below ${rangeMax ?? topK} holds ${room}; ` +
        "raise mine.rangeMax or mine.topK",
    );
  }
}

function checkScores({ minScore, maxScore, marginTo, ...mine }: MineConfig, say: Say): void {
  if (minScore !== undefined && maxScore !== undefined && minScore > maxScore) {
    say("minScore", `keeps nothing: scores from ${minScore} up to ${maxScore} (mine.maxScore)`);
  }
  const hasMargin = mine.absoluteMargin !== undefined || mine.relativeMargin !== undefined;
  if (!hasMargin && marginTo !== "worst") {
    say(
      "marginTo",
      "says what margins are measured from, but there is none; set mine.relativeMargin or absoluteMargin",
    );
  }
}
