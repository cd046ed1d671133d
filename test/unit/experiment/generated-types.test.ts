/** The generated interfaces say exactly what the schema takes: checked by the compiler when the tests are type-checked. */
import { expect, test } from "vitest";
import type { z } from "zod";
import type * as data from "../../../src/experiment/data-schema.js";
import { biEncoder, defineExperiment, loss, source } from "../../../src/experiment/define.js";
import type * as evaluation from "../../../src/experiment/evaluate-schema.js";
import type * as generated from "../../../src/experiment/options.generated.js";
import type * as schema from "../../../src/experiment/schema.js";

/** The same with lists that are only read, which a script may hand over `as const`. */
type Read<T> = T extends (...given: never) => unknown
  ? T
  : T extends readonly (infer Element)[]
    ? readonly Read<Element>[]
    : T extends object
      ? { [Key in keyof T]: Read<T[Key]> }
      : T;

/** Compiles only when each of the two can stand for the other. */
type Same<A extends B, B extends C, C = A> = [A, B, C];

/** What a script may hand to a schema. */
type Taken<Schema extends z.ZodType> = Read<z.input<Schema>>;

type Proof = [
  Same<generated.ExperimentInput, Taken<typeof schema.experimentSchema>>,
  Same<generated.ModelInput, Taken<typeof schema.modelSchema>>,
  Same<generated.TrainInput, Taken<typeof schema.trainSchema>>,
  Same<generated.BinaryInput, Taken<typeof data.binarySchema>>,
  Same<generated.MultiLevelInput, Taken<typeof data.multiLevelSchema>>,
  Same<generated.ScoredInput, Taken<typeof data.scoredSchema>>,
  Same<generated.CombinedInput, Taken<typeof data.combinedSchema>>,
  Same<generated.MixInput, Taken<typeof data.mixSchema>>,
  Same<generated.FileInput, Taken<typeof data.fileSchema>>,
  Same<generated.ValidationInput, Taken<typeof data.validationSchema>>,
  Same<generated.MatryoshkaInput, Taken<typeof schema.matryoshkaSchema>>,
  Same<generated.TrainingArgsInput, Taken<typeof schema.trainingArgsSchema>>,
  Same<generated.SourceInput, Taken<typeof data.sourceSchema>>,
  Same<generated.EvaluateInput, Taken<typeof evaluation.evaluateSchema>>,
  Same<generated.TrainEvaluateInput, Taken<typeof evaluation.trainEvaluateSchema>>,
  Same<generated.MineInput, Taken<typeof schema.mineSchema>>,
  Same<generated.EmbeddingsInput, Taken<typeof schema.embeddingsSchema>>,
  Same<generated.SearchInput, Taken<typeof schema.searchSchema>>,
  Same<generated.EncodeInput, Taken<typeof schema.encodeSchema>>,
  Same<generated.WorkersInput, Taken<typeof schema.workersSchema>>,
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

test("lists of options may be constants", () => {
  const measures = ["nDCG@10", "R@100"] as const;
  const steps = ["evaluate", "mine"] as const;
  const corpus = ["a.jsonl", { path: "b.jsonl" }] as const;
  const data = source({ corpus, qrels: "q.tsv" });
  const { config } = defineExperiment({
    name: "x",
    model: biEncoder("m"),
    steps,
    evaluate: { data, measures },
    mine: { data },
  });
  expect([config.evaluate?.measures, config.steps]).toEqual([measures, steps]);
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
    ...(["kl", "margin_mse"] as const).map((name) => ({ data, loss: loss(name) })),
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
  expect([good.length, bad.length]).toEqual([7, 5]);
  expect(loss("my_loss", { margin: 1 })).toEqual({ name: "my_loss", margin: 1 });
});
