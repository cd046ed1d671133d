/** Checks between options of mining that each are fine alone; pure, no file is touched. */
import { counted } from "../counted.js";
import type { Problem } from "./explain.js";
import type { CrossEncoderConfig, ExperimentConfig, MineConfig, ModelConfig, RetrieverConfig } from "./schema.js";

/** Everything of a mine section that does not fit together; `base` is the path of its options. */
export function checkMine(mine: MineConfig, base = "mine"): Problem[] {
  const problems: Problem[] = [];
  const say = (option: string, message: string): void => {
    problems.push({ path: [...base.split("."), ...option.split(".")], message: inSection(message, base) });
  };
  checkRange(mine, say);
  checkScores(mine, say);
  checkFilling(mine, say);
  checkOutput(mine, say);
  checkRetrievers(mine, say);
  return problems;
}

/** Words that name options of `mine`, for a section of the same options that stands elsewhere. */
export function inSection(words: string, section: string): string {
  return words.replace(/\bmine\.(?=[a-z])/g, `${section}.`);
}

/** What reports, files and the journal call the experiment's model as it is, before any training. */
export const BASE_NAME = "base";

/** What stands in its place where a run from elsewhere is evaluated. */
export const RUN_NAME = "run";

const BY_ID: readonly string[] = ["qrels", "triples", "grouped-jsonl", "run"];

function checkOutput({ output, parquet }: MineConfig, say: Say): void {
  if (parquet && [output].flat().every((each) => BY_ID.includes(each))) {
    say("parquet", 'writes training files with texts as Parquet, but mine.output names none, e.g. output: "n-tuple"');
  }
}

/** What reports and files call a retriever; `index` is its place among them. */
export function retrieverName({ name, run }: Pick<RetrieverConfig, "name" | "run">, index: number): string {
  return name ?? `${run === undefined ? "model" : "run"}-${index + 1}`;
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

/** Every model of an experiment with the path of its options. */
export function modelsIn({
  model,
  rerank,
  mine,
  train,
}: ExperimentConfig): [path: string, model: ModelConfig | CrossEncoderConfig][] {
  return [
    ["model", model],
    ...(rerank === undefined ? [] : ([["rerank", rerank]] satisfies [string, CrossEncoderConfig][])),
    ...(mine === undefined ? [] : modelsOf(mine)),
    ...(train?.refresh === undefined ? [] : modelsOf(train.refresh.mine, "train.refresh.mine")),
  ];
}

type Say = (option: string, message: string) => void;

function checkRange(mine: MineConfig, say: Say): void {
  const { topK, rangeMin, rangeMax, negativesPerQuery, retrievers, includeModel } = mine;
  // As many as there are when no two lists share a passage.
  const most = retrievers.reduce((sum, each) => sum + (each.topK ?? topK), includeModel ? topK : 0);
  if (most === 0) return;
  const option = retrievers.length === 0 ? "mine.topK" : "mine.topK or a retriever's own";
  if (rangeMax !== undefined && rangeMin >= rangeMax) {
    say("rangeMin", `the range from rank ${rangeMin} to below ${rangeMax} (mine.rangeMax) is empty`);
  } else if (rangeMin >= most) {
    say("rangeMin", `skips all ${most} retrieved passages (${option})`);
  }
  if (rangeMax !== undefined && rangeMax > most) {
    say(
      "rangeMax",
      `reaches to rank ${rangeMax}, but only ${counted(most, "passages are", "passage is")} retrieved; raise ${option}`,
    );
  }
  const room = (rangeMax ?? most) - rangeMin;
  if (room > 0 && negativesPerQuery > room) {
    say(
      "negativesPerQuery",
      `asks for ${negativesPerQuery}, but the range from rank ${rangeMin} to below ${rangeMax ?? most} holds ${room}; ` +
        `raise ${rangeMax === undefined ? option : `mine.rangeMax or ${option}`}`,
    );
  }
}

function checkScores(mine: MineConfig, say: Say): void {
  const { marginTo, rescore, retrievers } = mine;
  const sections = [
    ["", mine],
    ...retrievers.map((each, index) => [`retrievers.${index}.`, each] as const),
    ["rescore.", rescore],
  ] as const;
  for (const [inside, limits] of sections) {
    const { minScore, maxScore } = limits ?? {};
    if (minScore === undefined || maxScore === undefined || minScore <= maxScore) continue;
    say(`${inside}minScore`, `keeps nothing: scores from ${minScore} up to ${maxScore} (mine.${inside}maxScore)`);
  }
  if (rescore?.topK !== undefined && rescore.topK < mine.negativesPerQuery) {
    say(
      "rescore.topK",
      `leaves ${rescore.topK} candidates, fewer than mine.negativesPerQuery (${mine.negativesPerQuery})`,
    );
  }
  const hasMargin = mine.absoluteMargin !== undefined || mine.relativeMargin !== undefined;
  const isMeasured = rescore?.absoluteMargin !== undefined || rescore?.relativeMargin !== undefined;
  const isRetrievers = retrievers.some((each) => (each.absoluteMargin ?? each.relativeMargin) !== undefined);
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
  const names = retrievers.map(retrieverName);
  retrievers.forEach(({ name, model, run }, index) => {
    const at = `retrievers.${index}`;
    if ((model === undefined) === (run === undefined)) {
      say(at, 'is one of two: give it a model, e.g. { model: biEncoder(…) }, or a run, e.g. { run: "bm25.run.gz" }');
    }
    if (run !== undefined && mine.data.kind !== "source") {
      say(`${at}.run`, "ranks the passages of one source, but mine.data combines several; mine each one by itself");
    }
    if (name === undefined) return;
    if (names.some((other, place) => other === name && place !== index))
      say(`${at}.name`, `${name} is another retriever's name`);
    if (name === BASE_NAME && includeModel) say(`${at}.name`, `${BASE_NAME} is the name of the experiment's own model`);
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
