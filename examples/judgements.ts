/**
 * Chooses, relabels and mixes judgements: no file is written for any of it.
 *
 *   npx quarry data check examples/judgements.ts
 *   npx quarry data stats examples/judgements.ts
 *   npx quarry data show examples/judgements.ts --step 3
 *   npx quarry run examples/judgements.ts
 */
import {
  biEncoder,
  binary,
  combined,
  defineExperiment,
  demoModel,
  demoSource,
  mix,
  multiLevel,
  step,
  type Triplet,
  type TripletGroup,
} from "quarry";

// Functions may stand in for any step: name, version and source go into the fingerprint of the data.
const substantial = step({
  name: "substantial",
  version: 1,
  fn: ({ passage }: Triplet) => passage.text.length >= 120,
});

// A group is what is left of a query's judgements; `random` is seeded by (seed, epoch, query, source). It must leave a
// relevant passage in every epoch.
const some = step({
  name: "some",
  version: 1,
  fn: ({ triplets, random }: TripletGroup) => triplets.filter((_, at) => at === 0 || random() < 0.5),
});

export default defineExperiment({
  name: "judgements",
  model: biEncoder(demoModel, { queryMaxLength: 32, passageMaxLength: 96 }),
  train: {
    data: mix({
      parts: [
        // Two of three queries come from the judged pairs whose passages are long enough …
        {
          data: binary({ positives: demoSource("train", { name: "long", minScore: 1, filter: substantial }) }),
          weight: 2,
        },
        // … and one from all pairs, with their grades mapped and a prompt of their own.
        {
          data: multiLevel({
            sources: [
              demoSource("train", {
                name: "graded",
                groupFilter: some,
                scoreTransform: { map: { 1: 3 }, otherwise: 0 },
                prompts: { query: "Find code: " },
              }),
            ],
            passagesPerQuery: 1,
          }),
          weight: 1,
        },
      ],
      batches: "single",
    }),
    globalBatchSize: 32,
    args: { maxSteps: 50, learningRate: 3e-5 },
  },
  evaluate: {
    // The training split's passages make the search harder; they bring no judgements along.
    data: combined({ sources: [demoSource("heldout"), demoSource("train", { groupFirstK: 1, maxScore: 0.5 })] }),
  },
  validation: { duplicateTexts: "drop" },
});
