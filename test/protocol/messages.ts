/** One or more examples of every message, from which the golden files are written. */
import type { DownMessage, Unversioned, UpMessage } from "../../src/protocol/messages.js";
import { bytesOf, tensor } from "../../src/protocol/tensor.js";
import { contract, error, model, scorer } from "./specs.js";

/** A message under the name of its golden file, with its binary frames. */
export interface Example {
  readonly name: string;
  readonly direction: "up" | "down";
  readonly message: Unversioned<UpMessage | DownMessage>;
  readonly frames: readonly Uint8Array[];
}

const floats = bytesOf(new Float32Array([0.5, -1.25, 3e-8, 0, 1, 2]));
const ints = bytesOf(new Int32Array([5, 3, -1, 0, 7, -1]));
const arrow = new Uint8Array(256).map((_, index) => index);

const up = (name: string, message: Unversioned<UpMessage>, frames: readonly Uint8Array[] = []): Example => ({
  name,
  direction: "up",
  message,
  frames,
});
const down = (name: string, message: Unversioned<DownMessage>, frames: readonly Uint8Array[] = []): Example => ({
  name,
  direction: "down",
  message,
  frames,
});

const train = {
  args: { learning_rate: 2e-5, bf16: false, optim: "adamw_torch", save_steps: 500, warmup_steps: -1 },
  outputDir: "runs/scifact/train",
  maxSteps: 500,
  queriesPerRank: 16,
  passagesPerQuery: 3,
  accumulationSteps: 2,
  miniBatchSize: 8,
  lengthGroups: 4,
  seed: 4_294_967_295,
  resumeFrom: null,
  isDropoutOn: true,
  checkpointEvery: 250,
  evalSteps: 50,
  isEvaluating: true,
} as const;

const search = {
  kind: "search",
  vectorDtype: "float32",
  trackedCount: 6,
  batchSize: 16,
  topK: 100,
  queryCount: 300,
  dimension: 384,
  snapshotEveryUnits: 16,
} as const;

export const examples: readonly Example[] = [
  up("hello-worker", {
    type: "hello",
    role: "worker",
    name: "worker-0",
    token: "secret",
    life: "2f1c9d5e",
    pid: 4_242,
    host: "node-1",
    device: "cuda:0",
    deviceName: "NVIDIA H100 80GB HBM3",
    rank: 0,
    worldSize: 1,
  }),
  up("hello-rank", {
    type: "hello",
    role: "rank",
    name: "rank-3",
    token: "secret",
    life: "2f1c9d5e",
    pid: 1,
    host: "node-1",
    device: "cpu",
    deviceName: "cpu",
    rank: 3,
    worldSize: 4,
  }),
  up("hello-control", {
    type: "hello",
    role: "control",
    name: "control",
    token: "secret",
    life: "2f1c9d5e",
    pid: 7,
    host: "node-1",
    device: "none",
    deviceName: "none",
    rank: 0,
    worldSize: 1,
  }),
  up("ready", { type: "ready", model: contract, crossEncoder: null, credits: 8 }),
  up("ready-score", { type: "ready", model: null, crossEncoder: scorer, credits: 8 }),
  up("ready-without-model", { type: "ready", model: null, crossEncoder: null, credits: 1_024 }),
  up(
    "result",
    {
      type: "result",
      unit: "passages-12",
      attempt: 1,
      tensor: tensor("float32", [2, 3], 1),
      scales: null,
      seconds: 0.125,
    },
    [floats],
  ),
  up(
    "result-int8",
    {
      type: "result",
      unit: "passages-12",
      attempt: 1,
      tensor: tensor("int8", [2, 3], 1),
      scales: tensor("float32", [2], 2),
      seconds: 0.125,
    },
    [new Uint8Array([127, 129, 0, 5, 250, 1]), floats.subarray(0, 8)],
  ),
  up("probed", {
    type: "probed",
    unit: "sample-0",
    attempt: 1,
    sizes: [
      { batchSize: 16, textsPerSecond: 82.5 },
      { batchSize: 32, textsPerSecond: 71.25 },
    ],
    seconds: 4.5,
  }),
  up("done", { type: "done", unit: "passages-12", attempt: 0, seconds: 1.5 }),
  up(
    "snapshot",
    {
      type: "snapshot",
      units: [
        { unit: "passages-12", attempt: 0 },
        { unit: "passages-13", attempt: 2 },
      ],
      scores: tensor("float32", [2, 3], 1),
      rows: tensor("int32", [2, 3], 2),
      tracked: tensor("float32", [6], 3),
    },
    [floats, ints, floats],
  ),
  up(
    "snapshot-empty",
    {
      type: "snapshot",
      units: [],
      scores: tensor("float32", [0, 3], 1),
      rows: tensor("int32", [0, 3], 2),
      tracked: null,
    },
    [new Uint8Array(0), new Uint8Array(0)],
  ),
  up("failed", { type: "failed", unit: "passages-12", attempt: 0, error }),
  up("heartbeat", { type: "heartbeat", progress: 0 }),
  up("heartbeat-largest", { type: "heartbeat", progress: Number.MAX_SAFE_INTEGER }),
  up("log", { type: "log", level: "warning", text: "länger als 32 Bytes, mit Zeilen\nund \u0000 und ﷽" }),
  up("fatal", {
    ...{ type: "fatal", queryRows: [], passageRows: [] },
    error: { ...error, code: "WORKER", hint: null, isRetryable: true, rows: [] },
  }),
  up("fatal-rank", {
    ...{ type: "fatal", queryRows: [16, 17], passageRows: [0, 2_147_483_647] },
    error: { ...error, code: "WORKER", message: "Step 3: the loss is not finite", rows: [] },
  }),
  up("leave", { type: "leave", reason: "SIGTERM" }),
  up("fetch", {
    type: "fetch",
    checkpoint: "/models/mine",
    file: "1_Dense/model.safetensors",
    offset: 4_194_304,
  }),
  up("control-list", { type: "control", action: "list", worker: null }),
  up("control-drain", { type: "control", action: "drain", worker: "node-2.0" }),
  up("bye", { type: "bye", reason: "drained" }),
  up("next", { type: "next", step: 0, microStep: 1 }),
  up("train-step", {
    type: "trainStep",
    step: 1,
    loss: 2.718_281_828_459_045,
    learningRate: 2e-5,
    gradNorm: null,
    seconds: 0.75,
    waitSeconds: 0.001,
  }),
  up("sealing", { type: "sealing", step: 500 }),
  up("checkpoint", { type: "checkpoint", step: 500, path: "runs/scifact/train/checkpoint-500" }),
  up("trained", { type: "trained", step: 500, path: "runs/scifact/train/checkpoint-500" }),
  up("evaluate", { type: "evaluate", step: 50 }),
  down("refuse", { type: "refuse", error: { ...error, code: "PROTOCOL", rows: [] } }),
  down("configure-encode", {
    type: "configure",
    task: { kind: "encode", model, side: "query", batchSize: 16, vectorDtype: "int8" },
  }),
  down("configure-search", {
    type: "configure",
    task: {
      ...search,
      model,
      files: [],
      scoring: { similarity: "cosine", isNormalizing: true, plugins: [] },
    },
  }),
  down("configure-search-vectors", {
    type: "configure",
    task: {
      ...search,
      model: null,
      files: ["/cache/embeddings/5f/shard-0a1b/vectors.arrow"],
      vectorDtype: "bfloat16",
      scoring: {
        similarity: "my_similarity",
        isNormalizing: false,
        plugins: [{ path: "plugins/similarity.py", sha256: "9f".repeat(32) }],
      },
    },
  }),
  down("configure-score", {
    type: "configure",
    task: {
      kind: "score",
      model: {
        checkpoint: "cross-encoder/ms-marco-MiniLM-L6-v2",
        revision: null,
        trustRemoteCode: false,
        maxLength: 512,
        activation: null,
        label: null,
        template: null,
        prompt: null,
        trueToken: null,
        falseToken: null,
        dtype: "auto",
      },
      batchSize: 16,
    },
  }),
  down("configure-probe", {
    type: "configure",
    task: { kind: "probe", model, side: "passage", maxBatchSize: 256 },
  }),
  down("configure-probe-score", {
    type: "configure",
    task: {
      kind: "probeScore",
      model: {
        checkpoint: "cross",
        revision: null,
        trustRemoteCode: false,
        maxLength: 256,
        activation: null,
        label: null,
        template: null,
        prompt: null,
        trueToken: null,
        falseToken: null,
        dtype: "auto",
      },
      maxBatchSize: 64,
    },
  }),
  down("configure-train", {
    type: "configure",
    task: {
      kind: "train",
      model,
      losses: [
        { name: "infonce", weight: 1.5, sources: [], matryoshka: null, options: { temperature: 0.05 } },
        {
          name: "kl",
          weight: 0.5,
          sources: ["nq"],
          matryoshka: { dimensions: [384, 64], weights: [0.75, 0.25] },
          options: { isLearned: true },
        },
      ],
      sources: ["msmarco", "nq"],
      retriever: null,
      ...train,
      args: { ...train.args },
    },
  }),
  down("tracked", { type: "tracked", queries: tensor("int32", [6], 1), rows: tensor("int32", [6], 2) }, [ints, ints]),
  down("queries", { type: "queries", firstRow: 512, tensor: tensor("float32", [2, 3], 1) }, [floats]),
  down("unit", { type: "unit", unit: "passages-12", attempt: 0, rowCount: 256 }, [arrow]),
  down("flush", { type: "flush" }),
  down("welcome", { type: "welcome", name: "node-2.0" }),
  down("files", {
    type: "files",
    checkpoint: "/models/mine",
    files: [{ path: "model.safetensors", bytes: 90_868_376, sha256: "9f".repeat(32) }],
  }),
  down("piece", { type: "piece", file: "model.safetensors", offset: 0 }, [arrow]),
  down("controlled", {
    type: "controlled",
    isDone: true,
    text: "node-2.0 is leaving",
    workers: [{ name: "node-2.0", host: "node-2", device: "cuda:0", state: "busy", doneRows: 512 }],
  }),
  down("ping", { type: "ping" }),
  down("drain", { type: "drain" }),
  down(
    "micro-batch",
    {
      type: "microBatch",
      step: 10,
      microStep: 0,
      positiveColumns: tensor("int32", [2], 3),
      mask: tensor("uint8", [2, 4], 4),
      labels: tensor("float32", [2, 2], 5),
      counts: tensor("int32", [2], 6),
      sources: tensor("int32", [2], 7),
    },
    [
      arrow,
      arrow.subarray(3),
      bytesOf(new Int32Array([0, 2])),
      new Uint8Array([0, 1, 0, 0, 1, 0, 0, 0]),
      bytesOf(new Float32Array([1, 0, 1, 0.5])),
      bytesOf(new Int32Array([2, 1])),
      bytesOf(new Int32Array([1, 0])),
    ],
  ),
  down("seal", { type: "seal", step: 500 }),
  down("evaluation", { type: "evaluation", ticketPath: "/tmp/quarry-a/ticket.json", isLast: false }),
  down("evaluation-over", { type: "evaluation", ticketPath: null, isLast: true }),
  down("stop-training", { type: "stopTraining", save: true, endsBatches: false }),
];
