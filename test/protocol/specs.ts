/** What the example messages carry. */
import type { CrossEncoderContract, ErrorInfo, ModelContract, ModelSpec } from "../../src/protocol/messages.js";

export const model: ModelSpec = {
  checkpoint: "sentence-transformers/all-MiniLM-L6-v2",
  revision: null,
  trustRemoteCode: false,
  encoder: "auto",
  encoderOptions: { layers: [1, 2, 3], scale: 0.5, nested: { isOn: true, none: null } },
  plugins: [{ path: "plugins/my_loss.py", sha256: null }],
  pooling: "mean",
  normalize: null,
  similarity: null,
  queryPrompt: "Anfrage: größe ≥ 1 🦉 ",
  passagePrompt: null,
  queryMaxLength: 64,
  passageMaxLength: null,
  appendEos: true,
  padToMultipleOf: 8,
  towers: "separate",
  queryCheckpoint: "models/queries",
  queryRevision: null,
  adapter: {
    ...{ r: 16, alpha: 32.5, dropout: 0.1, targetModules: ["query", "value"], rslora: true, dora: false },
    baseDtype: "bfloat16",
  },
  quantization: "4bit",
  dtype: "auto",
};

export const contract: ModelContract = {
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

export const scorer: CrossEncoderContract = {
  checkpoint: "cross-encoder/ms-marco-MiniLM-L6-v2",
  architecture: "BertForSequenceClassification",
  labelCount: 1,
  label: 0,
  maxLength: 512,
  activation: "identity",
  template: null,
  tokens: [],
  dtype: "float32",
  parameterCount: 22_713_601,
  revision: null,
  fingerprint: "9f".repeat(32),
};

export const error: ErrorInfo = {
  code: "DATA",
  message: "2 embeddings are not finite",
  hint: "Try dtype float32.",
  isRetryable: false,
  rows: [0, 127, 128, 65_535, 65_536, 2_147_483_647],
};
