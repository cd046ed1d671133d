/** Checks between options of mining that each are fine alone; pure, no file is touched. */
import type { Problem } from "./explain.js";
import type { CrossEncoderConfig, MineConfig, ModelConfig } from "./schema.js";

/** Everything of a mine section that does not fit together; `base` is the path of its options. */
export function checkMine(mine: MineConfig, base = "mine"): Problem[] {
  const problems: Problem[] = [];
  const say = (option: string, message: string): void => {
    problems.push({ path: [...base.split("."), ...option.split(".")], message });
  };
  checkRange(mine, say);
  checkScores(mine, say);
  checkFilling(mine, say);
  checkOutput(mine, say);
  checkRetrievers(mine, say);
  return problems;
}

const BY_ID: readonly string[] = ["qrels", "triples", "grouped-jsonl", "run"];

function checkOutput({ output, parquet }: MineConfig, say: Say): void {
  if (parquet && [output].flat().every((each) => BY_ID.includes(each))) {
    say("parquet", 'writes training files with texts as Parquet, but mine.output names none, e.g. output: "n-tuple"');
  }
}

/** The models of a mine section with the paths of their options: other retrievers and the cross-encoder. */
export function modelsOf(
  { retrievers, rescore }: Pick<MineConfig, "retrievers" | "rescore">,
  base = "mine",
): [path: string, model: ModelConfig | CrossEncoderConfig][] {
  const found = retrievers.flatMap(({ model }, index): [string, ModelConfig][] =>
    model === undefined ? [] : [[`${base}.retrievers.${index}.model`, model]],
  );
  return rescore === undefined ? found : [...found, [`${base}.rescore.model`, rescore.model]];
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
  const { rescore: limits } = mine;
  if (limits?.minScore !== undefined && limits.maxScore !== undefined && limits.minScore > limits.maxScore) {
    say(
      "rescore.minScore",
      `keeps nothing: scores from ${limits.minScore} up to ${limits.maxScore} (mine.rescore.maxScore)`,
    );
  }
  if (limits?.topK !== undefined && limits.topK < mine.negativesPerQuery) {
    say(
      "rescore.topK",
      `leaves ${limits.topK} candidates, fewer than mine.negativesPerQuery (${mine.negativesPerQuery})`,
    );
  }
  const hasMargin = mine.absoluteMargin !== undefined || mine.relativeMargin !== undefined;
  const { rescore } = mine;
  const isMeasured = rescore?.absoluteMargin !== undefined || rescore?.relativeMargin !== undefined;
  const isRetrievers = mine.retrievers.some((each) => (each.absoluteMargin ?? each.relativeMargin) !== undefined);
  if (!hasMargin && !isMeasured && !isRetrievers && marginTo !== "worst") {
    say(
      "marginTo",
      "says what margins are measured from, but there is none; set mine.relativeMargin or absoluteMargin",
    );
  }
}

const LIMITS = ["maxScore", "minScore", "absoluteMargin"] as const;

function checkFilling(mine: MineConfig, say: Say): void {
  const { fillRandom, minNegatives, negativesPerQuery, scores, rescore } = mine;
  if (fillRandom && scores && rescore === undefined) {
    say(
      "fillRandom",
      "draws passages that nobody scored, but mine.scores wants a score beside each; rescore with a cross-encoder",
    );
  }
  if (minNegatives > negativesPerQuery) {
    say("minNegatives", `leaves every query out: none gets more than ${negativesPerQuery} (mine.negativesPerQuery)`);
  }
}

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
  if (count > 1 && mine.scores && mine.rescore === undefined) {
    say("scores", "several retrievers have no scale in common; write without scores, or rescore with a cross-encoder");
  }
}
