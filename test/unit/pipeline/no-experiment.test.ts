/** A script that hands something else than an experiment to a verb is told what is wanted, by every verb. */
import { expect, test } from "vitest";
import * as quarry from "../../../src/index.js";

const verbs = [
  ...[quarry.run, quarry.train, quarry.evaluate, quarry.mine, quarry.encode, quarry.search, quarry.doctor],
  ...[quarry.checkData, quarry.dataStats, quarry.openTrainingData],
  async function showStep(given: quarry.Experiment) {
    return quarry.showStep(given, 0);
  },
  async function openSearchData(given: quarry.Experiment) {
    return quarry.openSearchData(given, "evaluate");
  },
] as readonly ((given: quarry.Experiment) => Promise<unknown>)[];

test.each([
  ["an object", { name: "x", model: quarry.biEncoder("some/model") }],
  ['the text "experiment.ts"', "experiment.ts"],
  ["nothing", undefined],
  ["a promise (is an await missing?)", Promise.resolve()],
])("%s is refused by every verb", async (seen, given) => {
  for (const verb of verbs)
    await expect(verb(given as unknown as quarry.Experiment)).rejects.toMatchObject({
      code: "CONFIG",
      message: `expected what defineExperiment(…) gives, saw ${seen}`,
      hint: 'Hand over defineExperiment({ … }), or await loadExperiment("experiment.ts").',
    });
});
