/** The generated interfaces say exactly what the schema takes: checked by the compiler when the tests are type-checked. */
import { expect, test } from "vitest";
import type { z } from "zod";
import type * as data from "../../../src/experiment/data-schema.js";
import { loss } from "../../../src/experiment/define.js";
import type * as evaluation from "../../../src/experiment/evaluate-schema.js";
import type * as generated from "../../../src/experiment/options.generated.js";
import type * as schema from "../../../src/experiment/schema.js";

/** Compiles only when each of the two can stand for the other. */
type Same<A extends B, B extends C, C = A> = [A, B, C];

type Proof = [
  Same<generated.ExperimentInput, z.input<typeof schema.experimentSchema>>,
  Same<generated.ModelInput, z.input<typeof schema.modelSchema>>,
  Same<generated.TrainInput, z.input<typeof schema.trainSchema>>,
  Same<generated.BinaryInput, z.input<typeof data.binarySchema>>,
  Same<generated.MultiLevelInput, z.input<typeof data.multiLevelSchema>>,
  Same<generated.ScoredInput, z.input<typeof data.scoredSchema>>,
  Same<generated.CombinedInput, z.input<typeof data.combinedSchema>>,
  Same<generated.MixInput, z.input<typeof data.mixSchema>>,
  Same<generated.FileInput, z.input<typeof data.fileSchema>>,
  Same<generated.ValidationInput, z.input<typeof data.validationSchema>>,
  Same<generated.MatryoshkaInput, z.input<typeof schema.matryoshkaSchema>>,
  Same<generated.TrainingArgsInput, z.input<typeof schema.trainingArgsSchema>>,
  Same<generated.SourceInput, z.input<typeof data.sourceSchema>>,
  Same<generated.EvaluateInput, z.input<typeof evaluation.evaluateSchema>>,
  Same<generated.TrainEvaluateInput, z.input<typeof evaluation.trainEvaluateSchema>>,
  Same<generated.MineInput, z.input<typeof schema.mineSchema>>,
  Same<generated.EmbeddingsInput, z.input<typeof schema.embeddingsSchema>>,
  Same<generated.SearchInput, z.input<typeof schema.searchSchema>>,
  Same<generated.EncodeInput, z.input<typeof schema.encodeSchema>>,
  Same<generated.WorkersInput, z.input<typeof schema.workersSchema>>,
];

/** Assignability lets optional names differ, so the names are compared as well. */
type SameNames<A, B> = [Exclude<keyof A, keyof B>, Exclude<keyof B, keyof A>] extends [never, never] ? true : false;

test("the editor shows the very options that validation knows", () => {
  const names: [
    SameNames<generated.ExperimentInput, z.input<typeof schema.experimentSchema>>,
    SameNames<generated.ModelInput, z.input<typeof schema.modelSchema>>,
    SameNames<generated.TrainInput, z.input<typeof schema.trainSchema>>,
    SameNames<generated.TrainingArgsInput, z.input<typeof schema.trainingArgsSchema>>,
    SameNames<generated.SourceInput, z.input<typeof data.sourceSchema>>,
    SameNames<generated.WorkersInput, z.input<typeof schema.workersSchema>>,
  ] = [true, true, true, true, true, true];
  const proof: Proof | null = null;
  expect(names).not.toContain(false);
  expect(proof).toBeNull();
});

test("options of a loss are known to the editor by its name", () => {
  const data = null as unknown as generated.BinaryInput;
  const good: generated.TrainInput[] = [
    { data, loss: { name: "infonce", temperature: 0.05, symmetric: true } },
    { data, loss: { temperature: 0.1 } },
    {
      data,
      loss: [
        { name: "kl", weight: 0.5, sources: ["nq"] },
        { name: "TripletLoss", tripletMargin: 1 },
      ],
    },
    { data, loss: loss("my_loss", { margin: 1, weight: 2 }) },
    { data, loss: loss("kl", { labelTemperature: 2 }) },
  ];
  const bad: generated.TrainInput[] = [
    // @ts-expect-error an option that infonce does not have
    { data, loss: { name: "infonce", margin: 1 } },
    // @ts-expect-error an option of another kind
    { data, loss: { name: "triplet", distance: "hamming" } },
    // @ts-expect-error an option that infonce, the default, does not have
    { data, loss: { margin: 1 } },
    // @ts-expect-error a name that nobody knows is for loss(name, options)
    { data, loss: { name: "my_loss", margin: 1 } },
    // @ts-expect-error known losses are checked there as well
    { data, loss: loss("kl", { margin: 1 }) },
  ];
  expect([good.length, bad.length]).toEqual([5, 5]);
  expect(loss("my_loss", { margin: 1 })).toEqual({ name: "my_loss", margin: 1 });
});
