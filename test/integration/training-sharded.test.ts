/** FSDP2 on two gloo ranks: the curve of one rank, checkpoints that know nothing of shards, and a resume on one rank. */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runTraining, type TrainJob } from "../../src/training/index.js";
import { losses, type RecordedJob, stoppedAfter, TrainingBench } from "./training-harness.js";

let bench: TrainingBench;
let alone: RecordedJob;
const options = { isDropoutOn: false, maxSteps: 4, queriesPerRank: 4, device: "cpu" } as const;
const args = { learning_rate: 5e-3, save_steps: 2 };

/** An encoder around a whole BERT, whose pooler nothing comes out of. */
const AROUND = `
import torch, transformers
from quarry_runtime.modeling.registry import register_encoder
@register_encoder("around")
class Around(torch.nn.Module):
    def __init__(self, folder, options):
        super().__init__()
        self.model = transformers.AutoModel.from_pretrained(folder)
    def forward(self, batch, side):
        return self.model(**batch).last_hidden_state[:, 0]
`;

beforeAll(async () => {
  bench = await TrainingBench.open();
  alone = bench.job("alone", { ...options, args });
  await runTraining(alone.job);
});
afterAll(() => bench.close());

/** The largest difference between what two checkpoints have learned, and between the moments of their optimisers. */
async function distance(one: RecordedJob, other: RecordedJob): Promise<{ weights: number; moments: number }> {
  const { executable, env } = bench.python;
  const script = `
import json, sys, torch
from pathlib import Path
from safetensors.torch import load_file
def read(folder):
    [file] = [path for path in Path(folder).glob("*model.safetensors")]
    state = torch.load(f"{folder}/optimizer.pt", weights_only=True)["state"]
    # peft leaves the name of the adapter out.
    weights = {name.removeprefix("base_model.model."): value for name, value in load_file(file).items()}
    assert all(value.dtype == torch.float32 for value in weights.values())
    return weights, {name.replace(".default.", "."): moments for name, moments in state.items()}
one, other = map(read, sys.argv[1:])
assert one[0].keys() == other[0].keys() and one[1].keys() == other[1].keys() and len(one[1]) > 10
# Adam makes a step of full length of a gradient that is nothing but rounding, so such weights say nothing.
certain = {name.removeprefix("encoder.transformer."): state["exp_avg_sq"] > 1e-9 for name, state in one[1].items()}
assert sum(int(mask.sum()) for mask in certain.values()) > 1000
weights = max(float((one[0][name] - other[0][name])[mask].abs().max()) for name, mask in certain.items() if mask.any())
moments = max(float((one[1][name][key] - other[1][name][key]).abs().max()) for name in one[1] for key in ("exp_avg", "exp_avg_sq"))
print(json.dumps({"weights": weights, "moments": moments}))`;
  const folders = [one, other].map(({ job }) => join(job.outputDir, "checkpoint-4"));
  const { stdout } = await execa(executable, ["-c", script, ...folders], { env });
  return JSON.parse(stdout) as { weights: number; moments: number };
}

function isSameCurve(job: RecordedJob, as = alone): void {
  const found = losses(job);
  for (const [step, loss] of losses(as)) {
    expect(Math.abs((found.get(step) ?? Number.NaN) - loss), `step ${step}`).toBeLessThan(1e-5);
  }
}

test("sharded over two ranks, with accumulation and texts in groups: the losses, weights and moments of one rank", async () => {
  const cut = { ranks: 2, queriesPerRank: 2, lengthGroups: 2 };
  const sharded = bench.job("sharded", { ...options, ...cut, args: { ...args, fsdp: true } });
  await runTraining(sharded.job);
  isSameCurve(sharded);
  const { weights, moments } = await distance(alone, sharded);
  // The moments are sums of gradients; Adam divides by their size, so weights differ by a share of a step, of 5e-3 here.
  expect(moments).toBeLessThan(1e-5);
  expect(weights).toBeLessThan(2e-4);
});

test("a training that begins sharded goes on with one rank and without shards", async () => {
  const begun = bench.job("mixed", { ...options, ranks: 2, queriesPerRank: 2, args: { ...args, fsdp: true } });
  expect(await runTraining(stoppedAfter(begun, 2))).toMatchObject({ step: 2 });
  const resumed = bench.job("mixed", { ...options, args: { ...args, fsdp: true } });
  await runTraining(resumed.job);
  isSameCurve({ ...resumed, events: [...begun.events, ...resumed.events] });
});

test("weights that never get a gradient stay without optimiser state: sharded, on one rank, on two that hold all", async () => {
  const plugin = join(bench.folder, "around.py");
  writeFileSync(plugin, AROUND);
  const more = { ...options, plugins: [plugin], args, maxSteps: 6 };
  const around = (name: string, given: Partial<TrainJob> = {}) => {
    const job = bench.job(name, { ...more, ...given });
    return { ...job, job: { ...job.job, model: { ...job.job.model, encoder: "around" } } };
  };
  const whole = around("around");
  await runTraining(whole.job);
  const events = [];
  for (const [lastStep, given] of [
    [2, { ranks: 2, queriesPerRank: 2, args: { ...args, fsdp: true } }],
    [4, {}],
    [6, { ranks: 2, queriesPerRank: 2 }],
  ] as const) {
    const part = around("around-parts", given);
    await runTraining(lastStep < 6 ? stoppedAfter(part, lastStep) : part.job);
    events.push(...part.events);
  }
  isSameCurve({ ...whole, events }, whole);
});

/** A job that trains an adapter in float32 beside weights in bfloat16. */
function adapted(name: string, more: Partial<TrainJob>): RecordedJob {
  const job = bench.job(name, { ...options, ...more });
  const adapter = { r: 4, alpha: 8, dropout: 0, targetModules: null, rslora: false, dora: false };
  const model = { ...job.job.model, adapter: { ...adapter, baseDtype: "bfloat16" as const } };
  return { ...job, job: { ...job.job, model } };
}

test("an adapter that begins sharded learns as on ranks that hold all of the model, and goes on with such", async () => {
  // In bfloat16 the length that a rank pads to rounds its vectors: only as many ranks have the same losses.
  const shared = { ranks: 2, queriesPerRank: 2 };
  const whole = adapted("adapter", { ...shared, args });
  await runTraining(whole.job);
  const begun = adapted("adapter-mixed", { ...shared, args: { ...args, fsdp: true } });
  const { checkpoint } = await runTraining(stoppedAfter(begun, 2));
  expect(readdirSync(checkpoint)).toEqual(expect.arrayContaining(["adapter_config.json", "adapter_model.safetensors"]));
  const resumed = adapted("adapter-mixed", { ...shared, args });
  await runTraining(resumed.job);
  isSameCurve({ ...resumed, events: [...begun.events, ...resumed.events] }, whole);
  const { weights, moments } = await distance(whole, resumed);
  expect(moments).toBeLessThan(1e-5);
  expect(weights).toBeLessThan(2e-4);
});

test("batches in pieces that are sharded have the losses, weights and moments of one rank", async () => {
  const pieces = bench.job("pieces", {
    ...{ ...options, ranks: 2, queriesPerRank: 2, miniBatchSize: 1, args: { ...args, fsdp: true } },
  });
  await runTraining(pieces.job);
  isSameCurve(pieces);
  const { weights, moments } = await distance(alone, pieces);
  expect(moments).toBeLessThan(1e-5);
  expect(weights).toBeLessThan(2e-4);
});

test("sharded training in bfloat16 keeps its weights in float32 and stays near the curve of float32", async () => {
  const mixed = bench.job("bfloat16", {
    ...{ ...options, ranks: 2, queriesPerRank: 2, args: { ...args, fsdp: true, bf16: true } },
  });
  await runTraining(mixed.job);
  const [found, exact] = [losses(mixed), losses(alone)];
  const differences = [...exact].map(([step, loss]) => Math.abs((found.get(step) ?? Number.NaN) - loss));
  expect(Math.max(...differences)).toBeLessThan(0.05);
  expect(Math.max(...differences)).toBeGreaterThan(1e-6);
  expect((await distance(alone, mixed)).moments).toBeLessThan(0.01);
  // A loss that went through bfloat16 ends in 16 zeros; the mean of two ranks has one digit more.
  const ends = new Uint32Array(Float32Array.from(found.values()).buffer).map((bits) => bits & 0x7fff);
  expect(Math.max(...ends)).toBeGreaterThan(0);
});
