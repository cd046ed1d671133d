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
  checkRetrievers(mine, say);
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

const LIMITS = ["maxScore", "minScore", "absoluteMargin"] as const;

function checkRetrievers(mine: MineConfig, say: Say): void {
  const { retrievers, includeModel, fusion } = mine;
  const names = retrievers.map(({ name }) => name);
  retrievers.forEach(({ name, model, run }, index) => {
    const at = `retrievers.${index}`;
    if ((model === undefined) === (run === undefined)) {
      say(at, 'is one of two: give it a model, e.g. { model: biEncoder(…) }, or a run, e.g. { run: "bm25.run.gz" }');
    }
    if (run !== undefined && mine.data.kind !== "source") {
      say(`${at}.run`, "ranks the passages of one source, but mine.data combines several; mine each one by itself");
    }
    if (name !== undefined && names.indexOf(name) < index) say(`${at}.name`, `${name} is another retriever's name`);
    if (name === "queries" || name === "snapshots") say(`${at}.name`, `${name} is the name of a file of the search`);
  });
  const count = retrievers.length + (includeModel ? 1 : 0);
  if (count === 0) say("includeModel", "is false and mine.retrievers is empty, so nobody is asked");
  if (count < 2 && fusion !== "roundRobin")
    say("fusion", "joins the lists of several retrievers, but there is only one");
  if (!includeModel) {
    for (const limit of LIMITS) {
      if (mine[limit] === undefined) continue;
      say(
        limit,
        "is on the scale of the experiment's model, which is not asked (mine.includeModel); set it in the retriever",
      );
    }
  }
  if (count > 1 && mine.scores) {
    say("scores", "several retrievers have no scale in common; write without scores, or rescore with a cross-encoder");
  }
}
