/** One or more examples of every message, from which the golden files are written. */
import type { DownMessage, ErrorInfo, ModelContract, ModelSpec, UpMessage } from "../../src/protocol/messages.js";
import { bytesOf, tensor } from "../../src/protocol/tensor.js";

/** A message under the name of its golden file, with its binary frames. */
export interface Example {
  readonly name: string;
  readonly direction: "up" | "down";
  readonly message: UpMessage | DownMessage;
  readonly frames: readonly Uint8Array[];
}

const model: ModelSpec = {
  checkpoint: "sentence-transformers/all-MiniLM-L6-v2",
  revision: null,
  trustRemoteCode: false,
  encoder: "auto",
  encoderOptions: { layers: [1, 2, 3], scale: 0.5, nested: { isOn: true, none: null } },
  plugins: ["plugins/my_loss.py"],
  pooling: "mean",
  normalize: null,
  similarity: null,
  queryPrompt: "Anfrage: größe ≥ 1 🦉 ",
  passagePrompt: null,
  queryMaxLength: 64,
  passageMaxLength: null,
  dtype: "auto",
};

const contract: ModelContract = {
  checkpoint: "sentence-transformers/all-MiniLM-L6-v2",
  architecture: "BertModel",
  dimension: 384,
  pooling: "mean",
  normalize: true,
  similarity: "cosine",
  queryPrompt: "",
  passagePrompt: "",
  queryMaxLength: 256,
  passageMaxLength: 256,
  paddingSide: "right",
  dtype: "float32",
  parameterCount: 22_713_216,
  revision: null,
  fingerprint: "9f".repeat(32),
};

const error: ErrorInfo = {
  code: "DATA",
  message: "2 embeddings are not finite",
  hint: "Try dtype float32.",
  isRetryable: false,
  rows: [0, 127, 128, 65_535, 65_536, 2_147_483_647],
};

const floats = bytesOf(new Float32Array([0.5, -1.25, 3e-8, 0, 1, 2]));
const ints = bytesOf(new Int32Array([5, 3, -1, 0, 7, -1]));
const arrow = new Uint8Array(256).map((_, index) => index);

const up = (name: string, message: UpMessage, frames: readonly Uint8Array[] = []): Example => ({
  name,
  direction: "up",
  message,
  frames,
});
const down = (name: string, message: DownMessage, frames: readonly Uint8Array[] = []): Example => ({
  name,
  direction: "down",
  message,
  frames,
});

const train = {
  kind: "train",
  model,
  loss: { name: "infonce", options: { temperature: 0.05 } },
  args: { learning_rate: 2e-5, bf16: false, optim: "adamw_torch", save_steps: 500, warmup_steps: -1 },
  outputDir: "runs/scifact/train",
  maxSteps: 500,
  queriesPerRank: 16,
  passagesPerQuery: 3,
  accumulationSteps: 2,
  seed: 4_294_967_295,
  resumeFrom: null,
  isDropoutOn: true,
} as const;

export const examples: readonly Example[] = [
  up("hello-worker", {
    v: 1,
    type: "hello",
    role: "worker",
    name: "worker-0",
    token: "secret",
    pid: 4_242,
    host: "node-1",
    device: "cuda:0",
    deviceName: "NVIDIA H100 80GB HBM3",
    memoryBytes: 85_899_345_920,
    threads: 8,
    dtypes: ["float32", "bfloat16", "float16"],
    versions: { python: "3.11.9", torch: "2.13.0" },
    rank: 0,
    worldSize: 1,
  }),
  up("hello-rank", {
    v: 1,
    type: "hello",
    role: "rank",
    name: "rank-3",
    token: "secret",
    pid: 1,
    host: "node-1",
    device: "cpu",
    deviceName: "cpu",
    memoryBytes: 0,
    threads: 1,
    dtypes: [],
    versions: {},
    rank: 3,
    worldSize: 4,
  }),
  up("ready", { v: 1, type: "ready", task: "encode", model: contract, credits: 8 }),
  up("ready-without-model", { v: 1, type: "ready", task: "train", model: null, credits: 1_024 }),
  up(
    "result",
    { v: 1, type: "result", unit: "passages-12", attempt: 1, tensor: tensor("float32", [2, 3], 1), seconds: 0.125 },
    [floats],
  ),
  up("done", { v: 1, type: "done", unit: "passages-12", attempt: 0, rowCount: 256, seconds: 1.5 }),
  up(
    "snapshot",
    {
      v: 1,
      type: "snapshot",
      sequence: 7,
      units: [
        { unit: "passages-12", attempt: 0 },
        { unit: "passages-13", attempt: 2 },
      ],
      scores: tensor("float32", [2, 3], 1),
      rows: tensor("int32", [2, 3], 2),
    },
    [floats, ints],
  ),
  up(
    "snapshot-empty",
    {
      v: 1,
      type: "snapshot",
      sequence: 0,
      units: [],
      scores: tensor("float32", [0, 3], 1),
      rows: tensor("int32", [0, 3], 2),
    },
    [new Uint8Array(0), new Uint8Array(0)],
  ),
  up("failed", { v: 1, type: "failed", unit: "passages-12", attempt: 0, error }),
  up("heartbeat-idle", { v: 1, type: "heartbeat", unit: null, progress: 0, rssBytes: 314_572_800 }),
  up("heartbeat-busy", {
    v: 1,
    type: "heartbeat",
    unit: "passages-12",
    progress: Number.MAX_SAFE_INTEGER,
    rssBytes: 4_294_967_296,
  }),
  up("log", { v: 1, type: "log", level: "warning", text: "länger als 32 Bytes, mit Zeilen\nund \u0000 und ﷽" }),
  up("fatal", {
    ...{ v: 1, type: "fatal", queryRows: [], passageRows: [] },
    error: { ...error, code: "WORKER", hint: null, isRetryable: true, rows: [] },
  }),
  up("fatal-rank", {
    ...{ v: 1, type: "fatal", queryRows: [16, 17], passageRows: [0, 2_147_483_647] },
    error: { ...error, code: "WORKER", message: "Step 3: the loss is not finite", rows: [] },
  }),
  up("bye", { v: 1, type: "bye", reason: "drained" }),
  up("next", { v: 1, type: "next", step: 0, microStep: 1, rank: 3 }),
  up("train-step", {
    v: 1,
    type: "trainStep",
    step: 1,
    loss: 2.718_281_828_459_045,
    learningRate: 2e-5,
    gradNorm: null,
    seconds: 0.75,
    waitSeconds: 0.001,
  }),
  up("checkpoint", { v: 1, type: "checkpoint", step: 500, path: "runs/scifact/train/checkpoint-500" }),
  up("trained", { v: 1, type: "trained", step: 500, path: "runs/scifact/train/checkpoint-500" }),
  down("refuse", { v: 1, type: "refuse", error: { ...error, code: "PROTOCOL", rows: [] } }),
  down("configure-encode", {
    v: 1,
    type: "configure",
    task: { kind: "encode", model, side: "query", batchSize: 16 },
  }),
  down("configure-search", {
    v: 1,
    type: "configure",
    task: { kind: "search", model, batchSize: 16, topK: 100, queryCount: 300, dimension: 384, snapshotEveryUnits: 16 },
  }),
  down("configure-train", {
    v: 1,
    type: "configure",
    task: { ...train, args: { ...train.args }, loss: { name: "infonce", options: { temperature: 0.05 } } },
  }),
  down("queries", { v: 1, type: "queries", firstRow: 512, tensor: tensor("float32", [2, 3], 1) }, [floats]),
  down("unit", { v: 1, type: "unit", unit: "passages-12", attempt: 0, rowCount: 256 }, [arrow]),
  down("flush", { v: 1, type: "flush" }),
  down("drain", { v: 1, type: "drain" }),
  down(
    "micro-batch",
    {
      v: 1,
      type: "microBatch",
      step: 10,
      microStep: 0,
      positiveColumns: tensor("int32", [2], 3),
      mask: tensor("uint8", [2, 4], 4),
      labels: tensor("float32", [2, 2], 5),
      counts: tensor("int32", [2], 6),
    },
    [
      arrow,
      arrow.subarray(3),
      bytesOf(new Int32Array([0, 2])),
      new Uint8Array([0, 1, 0, 0, 1, 0, 0, 0]),
      bytesOf(new Float32Array([1, 0, 1, 0.5])),
      bytesOf(new Int32Array([2, 1])),
    ],
  ),
  down("stop-training", { v: 1, type: "stopTraining", save: true }),
];
