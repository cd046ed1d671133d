/** train.args: every option of TrainingArguments is either taken, with its type, or answered with what to do instead. */
import { expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, lora, source } from "../../../src/experiment/define.js";
import type { TrainingArgsInput } from "../../../src/experiment/options.generated.js";
import { applyOverrides, splitArguments } from "../../../src/experiment/overrides.js";
import { trainingArgsSchema } from "../../../src/experiment/schema.js";

const define = (args: TrainingArgsInput) =>
  defineExperiment({
    name: "x",
    model: biEncoder("m"),
    train: { data: binary({ positives: source({ corpus: "c.jsonl", qrels: "q.tsv" }) }), args },
  });

test("options of the optimiser, the schedule, DDP and torch.compile are taken as they are", () => {
  const args: TrainingArgsInput = {
    lrSchedulerType: "cosine_with_restarts",
    lrSchedulerKwargs: { num_cycles: 2 },
    optim: "adafactor",
    optimArgs: "relative_step=False",
    ddpBucketCapMb: 50,
    torchCompileMode: "max-autotune",
    gradientCheckpointingKwargs: { use_reentrant: true },
  };
  expect(define(args).config.train?.args).toMatchObject(args);
  // What is left out stays out: transformers' own default holds.
  expect(define({}).config.train?.args).not.toHaveProperty("ddpTimeout");
});

test("a wrong value is a compile error, and at run time an error that names the right one", () => {
  // @ts-expect-error: consine
  expect(() => define({ lrSchedulerType: "consine" })).toThrow("did you mean cosine?");
  // @ts-expect-error: no level of transformers
  expect(() => define({ logLevel: "verbose" })).toThrow("train.args.logLevel: expected one of detail, debug, info");
  // @ts-expect-error: a number, not text
  expect(() => define({ ddpTimeout: "60" })).toThrow("train.args.ddpTimeout: expected a whole number");
});

test("what Quarry decides is answered with where to set it, in any spelling and on the command line", () => {
  // @ts-expect-error: not an option
  expect(() => define({ dataloaderNumWorkers: 4 })).toThrow(
    "train.args.dataloaderNumWorkers: is not taken. The orchestrator feeds the ranks",
  );
  // @ts-expect-error: not an option
  expect(() => define({ per_device_train_batch_size: 8 })).toThrow("did you mean train.globalBatchSize?");
  const path = "train.args.save_strategy";
  expect(() => applyOverrides({ name: "x", model: biEncoder("m") }, [{ path, value: "epoch" }])).toThrow(
    "use train.args.saveSteps",
  );
});

test("names of transformers 5 and 4 are understood", () => {
  // @ts-expect-error: types know Quarry's names only
  const { config } = define({ warmup_ratio: 0.1, activation_checkpointing: true });
  expect(config.train?.args).toMatchObject({ warmupSteps: 0.1, gradientCheckpointing: true });
});

test("a schedule is asked for what transformers has no default of", () => {
  expect(() => define({ lrSchedulerType: "cosine_with_min_lr" })).toThrow(
    "train.args.lrSchedulerKwargs: cosine_with_min_lr needs one of min_lr, min_lr_rate",
  );
  expect(() => define({ lrSchedulerType: "warmup_stable_decay" })).toThrow("needs num_decay_steps");
  const lrSchedulerKwargs = { min_lr_rate: 0.1 };
  expect(() => define({ lrSchedulerType: "cosine_with_min_lr", lrSchedulerKwargs })).not.toThrow();
});

test("a schedule takes its own options only, and a beta stays below 1: transformers would say so once the model is loaded", () => {
  expect(() => define({ lrSchedulerType: "linear", lrSchedulerKwargs: { num_cycles: 2 } })).toThrow(
    "train.args.lrSchedulerKwargs.num_cycles: is no option of the schedule linear; it takes none",
  );
  expect(() => define({ lrSchedulerType: "cosine", lrSchedulerKwargs: { numCycles: 2 } })).toThrow(
    "did you mean num_cycles?",
  );
  expect(() => define({ lrSchedulerType: "inverse_sqrt", lrSchedulerKwargs: { timescale: 9 } })).not.toThrow();
  for (const name of ["adamBeta1", "adamBeta2"])
    expect(() => define({ [name]: 1 })).toThrow(`train.args.${name}: expected a number of at least 0 and below 1`);
});

test("a share of the steps to warm up in is never taken for a number of steps", () => {
  // Types know Quarry's names only.
  const aliased = (args: object) => () => define(args as TrainingArgsInput);
  expect(aliased({ warmupRatio: 1 })).toThrow(
    "train.args.warmupRatio: is a share of all steps, below 1, saw 1; give warmupSteps for a number of steps",
  );
  expect(aliased({ warmup_ratio: 10 })).toThrow("train.args.warmup_ratio: is a share of all steps");
  for (const flag of [["--train.args.warmup-ratio", "2"], ["--train.args.warmupRatio=2"]])
    expect(() => splitArguments(flag, new Map())).toThrow("is a share of all steps, below 1, saw 2; give warmupSteps");
  const path = "train.args.warmup_ratio";
  expect(() => applyOverrides({ name: "x", model: biEncoder("m") }, [{ path, value: 1 }])).toThrow("give warmupSteps");
  expect(define({ warmupSteps: 10 }).config.train?.args.warmupSteps).toBe(10);
});

test("no schedule is offered that waits for an evaluation inside of Trainer", () => {
  const schedules = trainingArgsSchema.shape.lrSchedulerType.unwrap().options;
  expect(schedules).toContain("warmup_stable_decay");
  expect(schedules).not.toContain("reduce_lr_on_plateau");
});

test("ways to hold and to run a model that no test has seen together are refused by name", () => {
  const data = binary({ positives: source({ corpus: "c.jsonl", qrels: "q.tsv" }) });
  const refused = (args: TrainingArgsInput, quantization?: "4bit") => {
    const model = biEncoder("m", { adapter: lora(), ...(quantization && { quantization }) });
    return () => defineExperiment({ name: "x", model, train: { data, args } });
  };
  expect(refused({ fsdp: true }, "4bit")).toThrow("train.args.fsdp: cannot share out weights in 8 or 4 bits");
  expect(refused({ fsdp: true, torchCompile: true })).toThrow(
    "train.args.torchCompile: does not work together with fsdp",
  );
  expect(refused({ torchCompileMode: "max-autotune" }, "4bit")).toThrow(
    "train.args.torchCompileMode: does not work together with model.quantization",
  );
  for (const args of [{ fsdp: true }, { torchCompile: true }]) expect(refused(args)).not.toThrow();
  expect(refused({}, "4bit")).not.toThrow();
  const still = { data, dropout: false, args: { gradientCheckpointing: true } };
  expect(() => defineExperiment({ name: "x", model: biEncoder("m"), train: still })).toThrow(
    "train.args.gradientCheckpointing: does not work together with dropout: false",
  );
});
