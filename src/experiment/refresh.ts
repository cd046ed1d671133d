/** Which training data gets new negatives while a model trains, and what of the options does not fit together. */
import type { Problem } from "./explain.js";
import { checkMine } from "./mine-checks.js";
import type {
  BinaryConfig,
  ExperimentConfig,
  MineConfig,
  ScoredConfig,
  TrainConfig,
  TrainingDataConfig,
} from "./schema.js";
import { searchSources } from "./sources.js";

const BASE = "train.refresh";

/** A view whose negatives are refreshed. */
export interface RefreshTarget {
  /** Its place among the parts of a mix; 0 without one. */
  readonly part: number;
  /** Path of its options, e.g. "train.data.parts.1.data". */
  readonly path: string;
  readonly view: BinaryConfig | ScoredConfig;
  /** How to mine for it, as a mine section says it. */
  readonly mine: MineConfig;
}

/** The views that get new negatives: those with explicit negatives, or of a mix those that are named. */
export function refreshTargets({ data, refresh }: Pick<TrainConfig, "data" | "refresh">): RefreshTarget[] {
  if (refresh === undefined) return [];
  return viewsOf(data).flatMap(({ view, names, path }, part): RefreshTarget[] => {
    if (view.kind === "multiLevel" || view.negativesPerQuery === 0) return [];
    if (refresh.parts !== undefined && !refresh.parts.some((name) => names.includes(name))) return [];
    const { data: own = view.positives, ...options } = refresh.mine;
    const mine: MineConfig = { ...options, data: own, output: "qrels", parquet: false, scores: false };
    return [{ part, path, view, mine }];
  });
}

/** The places of those views, for whoever opens the training data; see DataContext.refreshed. */
export function refreshedParts({ train }: Pick<ExperimentConfig, "train">): number[] {
  return train === undefined ? [] : refreshTargets(train).map(({ part }) => part);
}

/** Everything of a refresh section that does not fit together. */
export function checkRefresh(train: TrainConfig): Problem[] {
  const { refresh } = train;
  if (refresh === undefined) return [];
  const problems: Problem[] = [];
  const say = (path: string, message: string): void => {
    problems.push({ path: path.split("."), message });
  };
  const targets = refreshTargets(train);
  checkSteps(train, refresh, say);
  checkParts(train, refresh, say);
  const [first] = targets;
  if (first === undefined) {
    if (refresh.parts === undefined)
      say(BASE, "replaces negatives, but train.data has none; give a binary view negativesPerQuery of 1 or more");
    return problems;
  }
  problems.push(...checkMine(first.mine, `${BASE}.mine`));
  if (targets.length > 1 && refresh.mine.data !== undefined)
    say(
      `${BASE}.mine.data`,
      "is one data set for several parts; leave it out, so that each mines from its own positives",
    );
  for (const target of targets) checkTarget(target, refresh.mine.data !== undefined, say);
  return problems;
}

type Say = (path: string, message: string) => void;
type Refresh = NonNullable<TrainConfig["refresh"]>;

function checkSteps({ args }: TrainConfig, refresh: Refresh, say: Say): void {
  const { everySteps, switchAfterSteps = everySteps, maxStaleness } = refresh;
  const isReady = switchAfterSteps === "ready";
  if (!isReady && switchAfterSteps > everySteps)
    say(`${BASE}.switchAfterSteps`, `is more than everySteps (${everySteps}): newer negatives would be there first`);
  const first = everySteps + (isReady ? 0 : switchAfterSteps);
  if (args.maxSteps > 0 && first >= args.maxSteps)
    say(
      `${BASE}.everySteps`,
      `no step would learn from new negatives: the first ones count after step ${first} of ${args.maxSteps}`,
    );
  if (maxStaleness === undefined) return;
  if (!isReady)
    say(`${BASE}.maxStaleness`, 'goes with switchAfterSteps: "ready"; at fixed steps training waits there anyway');
  else if (maxStaleness < everySteps)
    say(
      `${BASE}.maxStaleness`,
      `is less than everySteps (${everySteps}): training would wait for a checkpoint that it has to write itself`,
    );
}

function checkParts({ data }: TrainConfig, { parts }: Refresh, say: Say): void {
  if (parts === undefined) return;
  const names = viewsOf(data).flatMap((part) => (part.view.kind === "multiLevel" ? [] : part.names));
  parts.forEach((name, index) => {
    if (names.includes(name)) return;
    const known =
      names.length === 0 ? "none has one; give the part, or the source of its positives, a name" : names.join(", ");
    say(`${BASE}.parts.${index}`, `no part of train.data is called ${JSON.stringify(name)}; names are: ${known}`);
  });
}

function checkTarget({ view, path, mine }: RefreshTarget, isGiven: boolean, say: Say): void {
  if (view.tooFew === "error")
    say(
      `${path}.tooFew`,
      'is "error", but nobody knows how many negatives will be mined; set it to "fewer" or "cycle"',
    );
  if (mine.negativesPerQuery < view.negativesPerQuery)
    say(
      `${BASE}.mine.negativesPerQuery`,
      `mines ${mine.negativesPerQuery}, but ${path} takes ${view.negativesPerQuery}`,
    );
  if (view.kind === "scored" && mine.rescore === undefined)
    say(`${BASE}.mine.rescore`, `is missing: ${path} learns from scores, which a cross-encoder has to give`);
  if (mine.data.kind !== "source")
    say(
      `${BASE}.mine.data`,
      isGiven
        ? "must be one source"
        : `is missing: the positives of ${path} are several sources; name the one to mine from`,
    );
}

interface PlacedView {
  readonly path: string;
  /** What it may be called by: its own name in a mix, those of its positives' sources. */
  readonly names: readonly string[];
  readonly view: Exclude<TrainingDataConfig, { kind: "mix" }>;
}

function viewsOf(data: TrainingDataConfig): PlacedView[] {
  if (data.kind !== "mix") return [{ path: "train.data", names: sourceNames(data), view: data }];
  return data.parts.map(({ name, data: view }, index) => {
    const names = [...new Set([...(name === undefined ? [] : [name]), ...sourceNames(view)])];
    return { path: `train.data.parts.${index}.data`, names, view };
  });
}

function sourceNames(view: PlacedView["view"]): string[] {
  return view.kind === "multiLevel" ? [] : searchSources(view.positives, "").flatMap(([, { name }]) => name ?? []);
}
