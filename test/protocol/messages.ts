/** One or more examples of every message, from which the golden files are written. */
import type { DownMessage, UpMessage } from "../../src/protocol/messages.js";
import { bytesOf, tensor } from "../../src/protocol/tensor.js";
import { contract, error, model, scorer } from "./specs.js";

/** A message under the name of its golden file, with its binary frames. */
export interface Example {
  readonly name: string;
  readonly direction: "up" | "down";
  readonly message: UpMessage | DownMessage;
  readonly frames: readonly Uint8Array[];
}

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
  args: { learning_rate: 2e-5, bf16: false, optim: "adamw_torch", save_steps: 500, warmup_steps: -1 },
  outputDir: "runs/scifact/train",
  maxSteps: 500,
  queriesPerRank: 16,
  passagesPerQuery: 3,
  accumulationSteps: 2,
  miniBatchSize: 8,
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
    v: 2,
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
    v: 2,
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
  up("hello-control", {
    v: 2,
    type: "hello",
    role: "control",
    name: "control",
    token: "secret",
    pid: 7,
    host: "node-1",
    device: "none",
    deviceName: "none",
    memoryBytes: 0,
    threads: 1,
    dtypes: [],
    versions: {},
    rank: 0,
    worldSize: 1,
  }),
  up("ready", { v: 2, type: "ready", task: "encode", model: contract, crossEncoder: null, credits: 8 }),
  up("ready-score", { v: 2, type: "ready", task: "score", model: null, crossEncoder: scorer, credits: 8 }),
  up("ready-without-model", { v: 2, type: "ready", task: "train", model: null, crossEncoder: null, credits: 1_024 }),
  up(
    "result",
    {
      v: 2,
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
      v: 2,
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
    v: 2,
    type: "probed",
    unit: "sample-0",
    attempt: 1,
    sizes: [
      { batchSize: 16, textsPerSecond: 82.5 },
      { batchSize: 32, textsPerSecond: 71.25 },
    ],
    seconds: 4.5,
  }),
  up("done", { v: 2, type: "done", unit: "passages-12", attempt: 0, rowCount: 256, seconds: 1.5 }),
  up(
    "snapshot",
    {
      v: 2,
      type: "snapshot",
      sequence: 7,
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
      v: 2,
      type: "snapshot",
      sequence: 0,
      units: [],
      scores: tensor("float32", [0, 3], 1),
      rows: tensor("int32", [0, 3], 2),
      tracked: null,
    },
    [new Uint8Array(0), new Uint8Array(0)],
  ),
  up("failed", { v: 2, type: "failed", unit: "passages-12", attempt: 0, error }),
  up("heartbeat-idle", { v: 2, type: "heartbeat", unit: null, progress: 0, rssBytes: 314_572_800 }),
  up("heartbeat-busy", {
    v: 2,
    type: "heartbeat",
    unit: "passages-12",
    progress: Number.MAX_SAFE_INTEGER,
    rssBytes: 4_294_967_296,
  }),
  up("log", { v: 2, type: "log", level: "warning", text: "länger als 32 Bytes, mit Zeilen\nund \u0000 und ﷽" }),
  up("fatal", {
    ...{ v: 2, type: "fatal", queryRows: [], passageRows: [] },
    error: { ...error, code: "WORKER", hint: null, isRetryable: true, rows: [] },
  }),
  up("fatal-rank", {
    ...{ v: 2, type: "fatal", queryRows: [16, 17], passageRows: [0, 2_147_483_647] },
    error: { ...error, code: "WORKER", message: "Step 3: the loss is not finite", rows: [] },
  }),
  up("leave", { v: 2, type: "leave", reason: "SIGTERM" }),
  up("fetch", { v: 2, type: "fetch", file: "1_Dense/model.safetensors", offset: 4_194_304 }),
  up("control-list", { v: 2, type: "control", action: "list", worker: null }),
  up("control-drain", { v: 2, type: "control", action: "drain", worker: "node-2.0" }),
  up("bye", { v: 2, type: "bye", reason: "drained" }),
  up("next", { v: 2, type: "next", step: 0, microStep: 1, rank: 3 }),
  up("train-step", {
    v: 2,
    type: "trainStep",
    step: 1,
    loss: 2.718_281_828_459_045,
    learningRate: 2e-5,
    gradNorm: null,
    seconds: 0.75,
    waitSeconds: 0.001,
  }),
  up("checkpoint", { v: 2, type: "checkpoint", step: 500, path: "runs/scifact/train/checkpoint-500" }),
  up("trained", { v: 2, type: "trained", step: 500, path: "runs/scifact/train/checkpoint-500" }),
  up("evaluate", { v: 2, type: "evaluate", step: 50 }),
  down("refuse", { v: 2, type: "refuse", error: { ...error, code: "PROTOCOL", rows: [] } }),
  down("configure-encode", {
    v: 2,
    type: "configure",
    task: { kind: "encode", model, side: "query", batchSize: 16, vectorDtype: "int8" },
  }),
  down("configure-search", {
    v: 2,
    type: "configure",
    task: { ...search, model, input: "texts", scoring: { similarity: "cosine", isNormalizing: true, plugins: [] } },
  }),
  down("configure-search-vectors", {
    v: 2,
    type: "configure",
    task: {
      ...search,
      model: null,
      input: "vectors",
      vectorDtype: "bfloat16",
      scoring: { similarity: "my_similarity", isNormalizing: false, plugins: ["plugins/similarity.py"] },
    },
  }),
  down("configure-score", {
    v: 2,
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
        dtype: "auto",
      },
      batchSize: 16,
    },
  }),
  down("configure-probe", {
    v: 2,
    type: "configure",
    task: { kind: "probe", model, side: "passage", maxBatchSize: 256 },
  }),
  down("configure-train", {
    v: 2,
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
  down("tracked", { v: 2, type: "tracked", queries: tensor("int32", [6], 1), rows: tensor("int32", [6], 2) }, [
    ints,
    ints,
  ]),
  down("queries", { v: 2, type: "queries", firstRow: 512, tensor: tensor("float32", [2, 3], 1) }, [floats]),
  down("unit", { v: 2, type: "unit", unit: "passages-12", attempt: 0, rowCount: 256 }, [arrow]),
  down("flush", { v: 2, type: "flush" }),
  down("welcome", { v: 2, type: "welcome", name: "node-2.0" }),
  down("files", {
    v: 2,
    type: "files",
    checkpoint: "/models/mine",
    files: [{ path: "model.safetensors", bytes: 90_868_376, sha256: "9f".repeat(32) }],
  }),
  down("piece", { v: 2, type: "piece", file: "model.safetensors", offset: 0 }, [arrow]),
  down("controlled", {
    v: 2,
    type: "controlled",
    isDone: true,
    text: "node-2.0 is leaving",
    workers: [{ name: "node-2.0", host: "node-2", device: "cuda:0", state: "busy", doneRows: 512 }],
  }),
  down("ping", { v: 2, type: "ping" }),
  down("drain", { v: 2, type: "drain" }),
  down(
    "micro-batch",
    {
      v: 2,
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
  down("evaluation", { v: 2, type: "evaluation", step: 50, ticketPath: "/tmp/quarry-a/ticket.json", isLast: false }),
  down("evaluation-over", { v: 2, type: "evaluation", step: 50, ticketPath: null, isLast: true }),
  down("stop-training", { v: 2, type: "stopTraining", save: true }),
];
