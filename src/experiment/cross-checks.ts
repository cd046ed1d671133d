/** Checks between options that each are fine alone; pure, no file is touched. */
import type { Problem } from "./explain.js";
import { checkLoss } from "./losses.js";
import {
  type EvaluateConfig,
  type ExperimentConfig,
  type SourceConfig,
  stepNames,
  type TrainConfig,
} from "./schema.js";

/** Prefix of corpora that come with Quarry and bring their queries and judgements along. */
export const EMBEDDED = "embedded:";

/** Everything that does not fit together. */
export function crossCheck(config: ExperimentConfig): Problem[] {
  const problems: Problem[] = [];
  const say = (path: string, message: string): void => {
    problems.push({ path: path.split("."), message });
  };
  const { model, train, evaluate, mine, encode, steps, workers } = config;

  if (model.trustRemoteCode && !/^[0-9a-f]{40}$/.test(model.revision ?? "")) {
    say(
      "model.revision",
      "trustRemoteCode runs foreign code, so it needs the commit (40 hexadecimal digits) that you have read",
    );
  }
  if (!/^(auto|cpu|cuda(:\d+)?)$/.test(workers.device)) {
    say("workers.device", `expected auto, cpu, cuda or cuda:N, saw "${workers.device}"`);
  }
  steps?.forEach((step, index) => {
    if (config[step] === undefined) say(`steps.${index}`, `names ${step}, but the experiment has no ${step} section`);
    else if (step === "train" && steps.indexOf(step) < index)
      say(`steps.${index}`, "names train again, but an experiment trains once; another training is another experiment");
  });
  if (steps?.length === 0) say("steps", `is empty; name some of ${stepNames.join(", ")} or leave it out`);
  if (evaluate !== undefined) {
    checkSource(evaluate.data, "evaluate.data", say);
    needsJudgements(evaluate.data, "evaluate.data", "evaluation needs judgements", say);
    checkDepth(evaluate, say);
  }
  if (mine !== undefined) {
    checkSource(mine.data, "mine.data", say);
    if (mine.skipTop >= mine.topK) say("mine.skipTop", `skips all ${mine.topK} retrieved passages (mine.topK)`);
  }
  if (encode !== undefined) checkSource(encode.data, "encode.data", say);
  if (train !== undefined) {
    checkTraining(train, say);
    problems.push(...checkLoss(train.loss, model.plugins.length > 0));
  }
  return problems;
}

type Say = (path: string, message: string) => void;

/** A measure that looks deeper than the ranking would count what was not kept as not found. */
function checkDepth({ measures, topK }: EvaluateConfig, say: Say): void {
  let deepest = { measure: "", cutoff: topK };
  for (const measure of measures) {
    const cutoff = Number(/@(\d+)$/.exec(measure)?.[1] ?? 0);
    if (cutoff > deepest.cutoff) deepest = { measure, cutoff };
  }
  const { measure, cutoff } = deepest;
  if (cutoff > topK) {
    say("evaluate.topK", `keeps ${topK} passages, but ${measure} looks at ${cutoff}; set evaluate.topK to ${cutoff}`);
  }
}

function checkTraining(train: TrainConfig, say: Say): void {
  const { data, globalBatchSize, queriesPerRank, ranks, args } = train;
  if (data.kind === "binary") {
    const parts = { positives: data.positives, negatives: data.negatives };
    for (const [name, source] of Object.entries(parts)) {
      if (source === undefined) continue;
      checkSource(source, `train.data.${name}`, say);
      needsJudgements(source, `train.data.${name}`, `${name} are named by judgements`, say);
    }
    if (data.negativesPerQuery === 0 && data.negatives !== undefined) {
      say("train.data.negativesPerQuery", "is 0, so train.data.negatives would never be used; set it to 1 or more");
    }
    if (data.negativesPerQuery > 0 && data.negatives === undefined) {
      say(
        "train.data.negativesPerQuery",
        `asks for ${data.negativesPerQuery} negatives, but train.data.negatives is missing`,
      );
    }
  } else {
    data.sources.forEach((source, index) => {
      checkSource(source, `train.data.sources.${index}`, say);
      needsJudgements(source, `train.data.sources.${index}`, "training needs judgements", say);
    });
  }

  const rankCount = ranks === "auto" ? 1 : ranks;
  const share = rankCount * (queriesPerRank ?? 1);
  if (globalBatchSize % share !== 0) {
    const parts = [
      ranks === "auto" ? "" : `${ranks} ranks`,
      queriesPerRank === undefined ? "" : `${queriesPerRank} queries per rank`,
    ].filter((part) => part !== "");
    const below = Math.floor(globalBatchSize / share) * share;
    const wayOut = below > 0 ? `${below} or ${below + share}` : `${share}`;
    say(
      "train.globalBatchSize",
      `${globalBatchSize} cannot be shared equally among ${parts.join(" with ")}; ${wayOut} can`,
    );
  }
  if (args.bf16 && args.fp16) say("train.args.fp16", "bf16 and fp16 exclude each other");
  if (args.maxSteps === 0)
    say("train.args.maxSteps", "0 steps train nothing; give a number of steps, or -1 for numTrainEpochs");
}

function checkSource(source: SourceConfig, path: string, say: Say): void {
  const { minScore, maxScore } = source;
  if (minScore !== undefined && maxScore !== undefined && minScore >= maxScore) {
    say(`${path}.minScore`, `keeps nothing: scores from ${minScore} up and below ${maxScore} (maxScore)`);
  }
}

function needsJudgements(source: SourceConfig, path: string, why: string, say: Say): void {
  if (source.qrels === undefined && !source.corpus.startsWith(EMBEDDED)) {
    say(`${path}.qrels`, `is missing; ${why}, e.g. qrels: "qrels/test.tsv"`);
  }
}
