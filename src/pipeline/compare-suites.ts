/** Compares evaluations of several data sets, each set and the average over them, in one process of the runtime. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { QuarryError } from "../errors.js";
import { measuresOf } from "../experiment/measures.js";
import { checkCompared, commandContext, heldMeasures, nameArgs, testArgs, usualMeasures } from "./compare.js";
import { commonQrels } from "./run-files.js";
import { inTemporaryFolder, runtimeAnswer } from "./runtime-command.js";
import { findSuite, type SuiteFiles } from "./suite-files.js";
import type { CompareOptions, CompareSuitesOptions, SuiteComparison } from "./types.js";

/** What the runtime reads of one data set. */
interface RequestedSet {
  readonly name: string;
  readonly runs: readonly string[];
  readonly qrels: string | null;
  readonly measures: readonly string[];
}

/** See `compareSuites` in pipeline/index.ts. */
export async function compareSuites(
  runs: readonly string[],
  options: CompareSuitesOptions = {},
): Promise<SuiteComparison> {
  checkCompared(runs, options);
  if ((options as CompareOptions).qrels !== undefined) {
    throw new QuarryError("CONFIG", "qrels: each data set of a suite has judgements of its own.", {
      hint: "Compare one data set with other judgements: --set <name> --qrels <file>.",
    });
  }
  const suites = runs.map(findSuite);
  const { shared, leftOut } = commonSets(suites);
  const asked = options.measures === undefined ? null : measuresOf(options.measures);
  const sets = await Promise.all(shared.map((set) => requested(set, suites, asked)));
  if (sets.every(({ measures }) => measures.length === 0)) {
    throw new QuarryError("CONFIG", `no data set has values of ${(asked ?? []).join(", ")} in all runs.`);
  }
  const context = commandContext(options);
  const found = await inTemporaryFolder(async (folder) => {
    const file = join(folder, "sets.json");
    await writeFile(file, JSON.stringify(sets));
    const args = [...nameArgs(runs), "--sets", file, ...testArgs({ ...options, top: options.top ?? 0 })];
    return runtimeAnswer<Omit<SuiteComparison, "leftOut">>(context, "compare", args, "the runs could not be compared");
  });
  return { ...found, leftOut };
}

/** The data sets that all have, in order, and which of them lack the others. */
function commonSets(suites: readonly SuiteFiles[]): Pick<SuiteComparison, "leftOut"> & { readonly shared: string[] } {
  const all = [...new Set(suites.flatMap(({ sets }) => [...sets.keys()]))].sort();
  const told = all.map((set) => ({
    set,
    lackedBy: suites.filter(({ sets }) => !sets.has(set)).map(({ name }) => name),
  }));
  const shared = told.filter(({ lackedBy }) => lackedBy.length === 0).map(({ set }) => set);
  if (shared.length > 0) return { shared, leftOut: told.filter(({ lackedBy }) => lackedBy.length > 0) };
  const had = suites.map(({ name, sets }) => `${name} has ${[...sets.keys()].join(", ")}`);
  throw new QuarryError("CONFIG", `the runs have no data set in common: ${had.join("; ")}.`, {
    hint: "Data sets are known by their folders' names.",
  });
}

/** @param asked the measures that were named; null: those that nobody chose */
async function requested(
  set: string,
  suites: readonly SuiteFiles[],
  asked: readonly string[] | null,
): Promise<RequestedSet> {
  const files = suites.flatMap(({ sets }) => sets.get(set) ?? []);
  const held = await heldMeasures(files);
  const wanted = asked ?? usualMeasures(held);
  return {
    name: set,
    runs: files.map(({ run }) => run),
    qrels: commonQrels(
      files,
      undefined,
      `Name the judgements that count for this data set: --set ${set} --qrels <file>.`,
    ),
    // A file without any may be none of values at all: the runtime tells that.
    measures: held === null || held.length === 0 ? wanted : wanted.filter((measure) => held.includes(measure)),
  };
}
