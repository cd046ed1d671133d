/** Checks between options that each are fine alone; pure, no file is touched. */
import { counted } from "../counted.js";
import { nearest } from "../nearest.js";
import { isWildcard, parseAddress } from "../tcp-address.js";
import { checkEngines } from "./engine-checks.js";
import type { Problem } from "./explain.js";
import { checkIndexes } from "./index-checks.js";
import { checkLosses } from "./losses.js";
import { checkMine, modelsIn } from "./mine-checks.js";
import { checkModel } from "./model-checks.js";
import { checkPluginNames } from "./plugin-checks.js";
import { checkRefresh, refreshTargets } from "./refresh.js";
import { checkSchedule } from "./schedule-checks.js";
import {
  type CrossEncoderConfig,
  type EvaluateConfig,
  type ExperimentConfig,
  type RerankConfig,
  type SourceConfig,
  stepNames,
  type TrainConfig,
  type TrainEvaluateConfig,
  type TrainingDataConfig,
  type WorkersConfig,
} from "./schema.js";
import { checkSimilarity } from "./similarities.js";
import {
  ALGEBRA,
  evaluatedSets,
  metricsOf,
  type PlacedSource,
  pathsOf,
  searchSources,
  setsOf,
  trainingSources,
} from "./sources.js";

/** Prefix of corpora that come with Quarry and bring their queries and judgements along. */
export const EMBEDDED = "embedded:";

/** Everything that does not fit together. */
export function crossCheck(config: ExperimentConfig): Problem[] {
  const problems: Problem[] = [];
  const say = (path: string, message: string): void => {
    problems.push({ path: path.split("."), message });
  };
  const { model, train, evaluate, rerank, mine, workers } = config;
  checkForeignCode(config, say);
  problems.push(...checkSimilarity(config), ...checkPluginNames(config), ...checkModel(config));
  problems.push(...checkEngines(config));
  if (rerank !== undefined) checkRerank(rerank, evaluate, say);
  for (const [path, each] of modelsIn(config)) if (each.kind === "crossEncoder") checkPairs(each, path, say);
  checkWorkers(workers, say);
  checkSteps(config, say);
  if (evaluate !== undefined) {
    checkEvaluation(evaluate, "evaluate", say);
    checkGivenRuns(evaluate, say);
  }
  for (const name of ["mine", "encode", "search"] as const) {
    const section = config[name];
    if (section === undefined) continue;
    for (const [path, source] of searchSources(section.data, `${name}.data`)) checkSource(source, path, say);
  }
  if (mine !== undefined) problems.push(...checkMine(mine));
  checkIndexes(config, say);
  if (train === undefined) return problems;
  checkTraining(train, say);
  checkMachines(train, workers.listen, say);
  problems.push(...checkLosses(train, model.plugins.length > 0), ...checkSchedule(train.args), ...checkRefresh(train));
  return problems;
}

/** Takes what is wrong and the path of its option. */
export type Say = (path: string, message: string) => void;

/** Whoever runs a checkpoint's own code says which commit of it was read: the experiment's model, and every other. */
function checkForeignCode(config: ExperimentConfig, say: Say): void {
  const why = "trustRemoteCode runs foreign code, so it needs the commit (40 hexadecimal digits) that you have read";
  for (const [path, each] of modelsIn(config).filter(([, { trustRemoteCode }]) => trustRemoteCode)) {
    if (!isCommit(each.revision)) say(`${path}.revision`, why);
    const hasOther = each.kind === "biEncoder" && each.queryCheckpoint !== undefined;
    if (hasOther && !isCommit(each.queryRevision)) say(`${path}.queryRevision`, why);
  }
}

/** What a cross-encoder makes of a pair. */
function checkPairs(
  { template, prompt, trueToken, falseToken, label }: CrossEncoderConfig,
  path: string,
  say: Say,
): void {
  for (const place of template === undefined ? [] : ["{query}", "{passage}"]) {
    if (template?.split(place).length !== 2) say(`${path}.template`, `has to name ${place} once`);
  }
  if (template !== undefined && prompt !== undefined)
    say(`${path}.prompt`, "has no place of its own in a template; write it into that");
  if (falseToken !== undefined && trueToken === undefined)
    say(`${path}.falseToken`, `is what the answer of ${path}.trueToken is compared with; name that, too`);
  if (label !== undefined && trueToken !== undefined)
    say(`${path}.label`, `is a classifier's, and ${path}.trueToken a language model's; leave one of them out`);
}

function isCommit(revision: string | undefined): boolean {
  return /^[0-9a-f]{40}$/.test(revision ?? "");
}

function checkWorkers({ device, count, listen, nodes }: WorkersConfig, say: Say): void {
  if (!/^(auto|cpu|cuda(:\d+)?)$/.test(device)) {
    say("workers.device", `expected auto, cpu, cuda or cuda:N, saw "${device}"`);
  }
  if (listen !== undefined && parseAddress(listen) === null) {
    say("workers.listen", `expected tcp://host:port with a port up to 65535 (0 for any), saw "${listen}"`);
  }
  if (count === 0 && listen === undefined) {
    say("workers.count", "is 0, and no other worker can join; set workers.listen, or count to 1 or more");
  }
  if (nodes.length > 0 && listen === undefined) {
    const why = "are on other machines, which have to reach this one; set workers.listen, e.g. tcp://10.0.0.5:0";
    say("workers.nodes", why);
  }
}

function checkSteps(config: ExperimentConfig, say: Say): void {
  const { steps } = config;
  steps?.forEach((step, index) => {
    if (config[step] === undefined) say(`steps.${index}`, `names ${step}, but the experiment has no ${step} section`);
    else if (step === "train" && steps.indexOf(step) < index)
      say(`steps.${index}`, "names train again, but an experiment trains once; another training is another experiment");
  });
  if (steps?.length === 0) say("steps", `is empty; name some of ${stepNames.join(", ")} or leave it out`);
}

/** What may be wrong with what is evaluated, as a step or in training. */
function checkEvaluation({ data, measures, topK }: Omit<EvaluateConfig, "run">, path: string, say: Say): void {
  const sets = setsOf(data, `${path}.data`);
  for (const [index, set] of sets.entries()) {
    if (set.run !== null && path !== "evaluate")
      say(set.run[0], "is somebody else's ranking, not the model's in training");
    const sources = searchSources(set.data, set.path);
    for (const [place, source] of sources) checkSource(source, place, say);
    needsJudgements(sources, "evaluation needs judgements", say);
    // On some file systems names that differ in case only are one folder.
    const name = set.name?.toLowerCase();
    if (sets.slice(0, index).some((other) => other.name?.toLowerCase() === name))
      say(`${path}.data.sets.${index}.name`, `${set.name} is the name of another data set already`);
    if (name === "average")
      say(`${path}.data.sets.${index}.name`, "average is what the table calls the mean of all data sets");
  }
  checkDepth([...measures, ...sets.flatMap((set) => set.measures ?? [])], topK, path, say);
}

/** Runs that are measured in the place of a search. */
function checkGivenRuns(evaluate: EvaluateConfig, say: Say): void {
  const { data, run, subCorpus } = evaluate;
  if (run !== undefined && data.kind === "suite")
    say("evaluate.run", "ranks the passages of one data set; give each set of the suite its own, { data, run }");
  const sets = evaluatedSets(evaluate);
  const given = sets.flatMap((set) => (set.run === null ? [] : [{ ...set, option: set.run[0] }]));
  const [first] = given;
  if (first === undefined) return;
  for (const { option, data: own, path } of given) {
    if (own.kind === "combined") say(option, `ranks the passages of one source, but ${path} combines several`);
  }
  const without = sets.find((set) => set.run === null);
  if (without !== undefined)
    say(first.option, `is a run, but the set ${without.name} has none; give all sets of a suite one, or none`);
  if (subCorpus !== undefined)
    say("evaluate.subCorpus", `samples what is searched, but ${first.option} ranks already; leave one of them out`);
}

/** A measure that looks deeper than the ranking would count what was not kept as not found. */
function checkDepth(measures: readonly string[], topK: number, path: string, say: Say): void {
  let deepest = { measure: "", cutoff: topK };
  for (const measure of measures) {
    const cutoff = Number(/@(\d+)$/.exec(measure)?.[1] ?? 0);
    if (cutoff > deepest.cutoff) deepest = { measure, cutoff };
  }
  const { measure, cutoff } = deepest;
  if (cutoff > topK) {
    say(
      `${path}.topK`,
      `keeps ${counted(topK, "passages")}, but ${measure} looks at ${cutoff}; set ${path}.topK to ${cutoff}`,
    );
  }
}

function checkRerank(rerank: RerankConfig, evaluate: EvaluateConfig | undefined, say: Say): void {
  if (evaluate === undefined) {
    say("rerank", "ranks again what evaluation found, but the experiment has no evaluate section");
  } else if (rerank.topK !== undefined && rerank.topK > evaluate.topK) {
    say(
      "rerank.topK",
      `ranks ${counted(rerank.topK, "passages")} again, but evaluation keeps ${evaluate.topK}; set evaluate.topK to ${rerank.topK}`,
    );
  }
}

/** Machines of the training, this one included. */
export function machineCount({ nodes }: TrainConfig): number {
  return nodes.reduce((sum, node) => sum + (node.kind === "slurm" ? node.nodes : 1), 1);
}

function checkMachines(train: TrainConfig, listen: string | undefined, say: Say): void {
  const { nodes, minNodes, queriesPerRank } = train;
  const count = machineCount(train);
  if (nodes.length > 0 && (listen === undefined || isWildcard(parseAddress(listen)?.host ?? ""))) {
    const message =
      "have to reach this machine; set workers.listen to an address that they see, e.g. tcp://10.0.0.5:0 (0.0.0.0 is none)";
    say("train.nodes", message);
  }
  if (nodes.length > 0 && train.evaluate?.mode === "ranks") {
    const message = "is for ranks of this machine; evaluate by workers, or leave train.nodes out";
    say("train.evaluate.mode", message);
  }
  if (minNodes !== undefined && minNodes > count) {
    say("train.minNodes", `is ${minNodes}, but there ${count === 1 ? "is one machine" : `are ${count} machines`}`);
  }
  if (minNodes !== undefined && minNodes < count && queriesPerRank !== undefined) {
    const message =
      "would change the pool of negatives when a machine is lost; leave it out, or leave train.minNodes out";
    say("train.queriesPerRank", message);
  }
}

function checkTraining(train: TrainConfig, say: Say): void {
  const { data, globalBatchSize, queriesPerRank, ranks, args, evaluate, refresh } = train;
  if (evaluate !== undefined) {
    checkEvaluation(evaluate, "train.evaluate", say);
    checkMetric(evaluate, say);
  }
  const mined = refresh?.mine.data;
  const minedFrom = mined === undefined ? [] : searchSources(mined, "train.refresh.mine.data");
  for (const [path, source] of [...trainingSources(data, "train.data"), ...minedFrom]) checkSource(source, path, say);
  const refreshed = refreshTargets(train).map(({ path }) => path);
  checkView(data, "train.data", refreshed, say);
  const rankCount = (ranks === "auto" ? 1 : ranks) * machineCount(train);
  const share = rankCount * (queriesPerRank ?? 1);
  if (globalBatchSize % share !== 0) {
    const parts = [
      ranks === "auto" && rankCount === 1 ? "" : `${rankCount} ranks`,
      queriesPerRank === undefined ? "" : `${counted(queriesPerRank, "queries")} per rank`,
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

/** Whatever makes a checkpoint the best has to be measured. */
function checkMetric(options: TrainEvaluateConfig, say: Say): void {
  const known = metricsOf(options);
  const metric = options.metricForBestModel;
  if (metric === undefined || known.includes(metric)) return;
  const near = nearest(metric, known);
  const hint = near === null ? `there are ${known.join(", ")}` : `did you mean ${near}?`;
  say("train.evaluate.metricForBestModel", `${metric} is not measured by train.evaluate.measures; ${hint}`);
}

function checkView(data: TrainingDataConfig, path: string, refreshed: readonly string[], say: Say): void {
  if (data.kind === "mix") {
    data.parts.forEach((part, index) => {
      checkView(part.data, `${path}.parts.${index}.data`, refreshed, say);
    });
    return;
  }
  if (data.kind === "multiLevel") {
    needsJudgements(trainingSources(data, path), "training needs judgements", say);
    return;
  }
  const { positives, negatives, negativesPerQuery } = data;
  needsJudgements(searchSources(positives, `${path}.positives`), "positives are named by judgements", say);
  if (negatives !== undefined)
    needsJudgements(searchSources(negatives, `${path}.negatives`), "negatives are named by judgements", say);
  if (negativesPerQuery === 0 && negatives !== undefined) {
    say(`${path}.negativesPerQuery`, `is 0, so ${path}.negatives would never be used; set it to 1 or more`);
  }
  if (negativesPerQuery > 0 && negatives === undefined && !refreshed.includes(path)) {
    say(
      `${path}.negativesPerQuery`,
      `asks for ${counted(negativesPerQuery, "negatives")}, but ${path}.negatives is missing`,
    );
  }
}

const GROUP_STEPS = ["groupTopK", "groupBottomK", "groupFirstK", "groupRandomK"] as const;

function checkSource(source: SourceConfig, path: string, say: Say): void {
  const { minScore, maxScore, scoreTransform } = source;
  if (minScore !== undefined && maxScore !== undefined && minScore >= maxScore) {
    say(`${path}.minScore`, `keeps nothing: scores from ${minScore} up and below ${maxScore} (maxScore)`);
  }
  for (const side of ["query", "passage"] as const) {
    const template = source.templates?.[side];
    if (template === undefined) continue;
    const unknown = template.match(/\{[^{}]*\}/g)?.find((name) => name !== "{title}" && name !== "{text}");
    if (unknown !== undefined) say(`${path}.templates.${side}`, `there is no ${unknown}; use {title} and {text}`);
    else if (!template.includes("{text}"))
      say(`${path}.templates.${side}`, "leaves the text out; put {text} where it belongs");
  }
  if (source.extras?.sourceName === true) {
    if (source.name === undefined) say(`${path}.extras.sourceName`, `needs a name; set ${path}.name`);
    for (const side of ["query", "passage"] as const) {
      if (source.extras[side]?.includes("source") === true)
        say(`${path}.extras.${side}`, "names a field source, which is where sourceName puts the source's name");
    }
  }
  const idle = isJudged(source) ? [] : ALGEBRA.filter((name) => source[name] !== undefined);
  if (idle.length > 0) {
    const [does, them] = idle.length === 1 ? ["does", "it"] : ["do", "them"];
    say(path, `${idle.join(", ")} ${does} nothing without judgements; name these with qrels, or leave ${them} out`);
  }
  const steps = GROUP_STEPS.filter((name) => source[name] !== undefined);
  if (steps.length > 1) say(`${path}.${steps[1]}`, `excludes ${steps[0]}; keep one of ${steps.join(", ")}`);
  if (typeof scoreTransform === "object" && "map" in scoreTransform) {
    for (const score of Object.keys(scoreTransform.map)) {
      if (score.trim() === "" || Number.isNaN(Number(score)))
        say(`${path}.scoreTransform.map`, `maps ${JSON.stringify(score)}, which is no number`);
    }
  }
}

/** Some source has to name judgements; the others only add passages. */
function needsJudgements(sources: readonly PlacedSource[], why: string, say: Say): void {
  const [first] = sources;
  if (first === undefined || sources.some(([, source]) => isJudged(source))) return;
  say(`${first[0]}.qrels`, `is missing; ${why}, e.g. qrels: "qrels/test.tsv"`);
}

function isJudged({ qrels, corpus }: SourceConfig): boolean {
  return qrels !== undefined || pathsOf(corpus).some((path) => path.startsWith(EMBEDDED));
}
