/** What a replay takes of the experiment that a run folder recorded, whose JSON has no functions. */
import { resolve } from "node:path";
import { QuarryError } from "../errors.js";
import { defineExperiment, type Experiment } from "../experiment/define.js";
import { loadExperiment } from "../experiment/load.js";
import type { ExperimentInput } from "../experiment/options.generated.js";
import type { ExperimentConfig, TrainConfig } from "../experiment/schema.js";
import type { RecordedRun } from "../rundir/directory.js";

/**
 * The recorded experiment as far as its training goes. Nothing is evaluated or mined again, so functions there are left
 * out; the data that is trained on comes from the script where one is given.
 *
 * @throws QuarryError CONFIG where that data has functions and no script is given, or the script describes no experiment.
 */
export async function recordedExperiment(run: RecordedRun, script: string | undefined): Promise<Experiment> {
  const { evaluate: _evaluate, rerank: _rerank, mine: _mine, ...others } = run.experiment as ExperimentConfig;
  const { encode: _encode, search: _search, steps: _steps, train, ...rest } = others;
  const given = script === undefined ? null : await loadExperiment(script);
  const needed = train === undefined ? rest : { ...rest, train: replayed(run, train, given?.config.train) };
  // What was written with every default filled in is valid input again.
  const input = needed as unknown as ExperimentInput;
  const { baseDir = "." } = run.environment as { readonly baseDir?: string };
  return defineExperiment(input, { baseDir: given?.baseDir ?? resolve(run.path, baseDir) });
}

function replayed(run: RecordedRun, recorded: TrainConfig, given: TrainConfig | undefined): TrainConfig {
  const { evaluate: _evaluate, refresh, ...train } = recorded;
  const { data, refresh: current } = given ?? recorded;
  if (given === undefined && JSON.stringify([data, refresh?.mine.data]).includes('"kind":"step"')) {
    throw new QuarryError("CONFIG", `${run.path}: the training data has functions, which only the script has.`, {
      hint: "Name it: quarry replay <runDir> --experiment experiment.ts",
    });
  }
  if (refresh === undefined) return { ...train, data };
  const { filter: _filter, data: _data, ...rules } = refresh.mine;
  const from = current?.mine.data;
  return { ...train, data, refresh: { ...refresh, mine: { ...rules, ...(from === undefined ? {} : { data: from }) } } };
}
