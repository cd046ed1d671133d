/** What users write becomes a checked experiment, and what is wrong with it is said in one go. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  biEncoder,
  binary,
  combined,
  defineExperiment,
  demoModel,
  demoSource,
  mix,
  multiLevel,
  parseExperiment,
  source,
} from "../../../src/experiment/define.js";
import { failure, problems } from "./refusals.js";

const model = biEncoder("some/model");
const judged = source({ corpus: "corpus.jsonl", qrels: "qrels/test.tsv" });

describe("an experiment", () => {
  test("of the design's example is accepted and every default is filled in", () => {
    const texts = { corpus: "corpus.jsonl", queries: "queries.jsonl" };
    const { config, baseDir, kind } = defineExperiment({
      name: "scifact-minilm",
      model: biEncoder("sentence-transformers/all-MiniLM-L6-v2"),
      train: {
        data: binary({
          positives: source({ ...texts, qrels: "qrels/train.tsv", minScore: 1 }),
          negatives: source({ ...texts, qrels: "mined.tsv", groupRandomK: 2 }),
          negativesPerQuery: 2,
        }),
        loss: { name: "infonce", temperature: 0.05 },
        globalBatchSize: 32,
        args: { maxSteps: 500, learningRate: 2e-5 },
      },
      evaluate: { data: source({ ...texts, qrels: "qrels/test.tsv" }), measures: ["nDCG@10", "R@100"] },
    });
    expect(kind).toBe("experiment");
    expect(baseDir).toBe(process.cwd());
    expect(config.seed).toBe(42);
    expect(config.model.dtype).toBe("auto");
    expect(config.train?.loss).toEqual({ name: "infonce", temperature: 0.05 });
    expect(config.train?.args.weightDecay).toBe(0);
    expect(config.train?.args.maxSteps).toBe(500);
    expect(config.workers.credits).toBe(8);
  });

  test("has an absolute folder in which its paths start, whatever it is written as", () => {
    const input = { name: "x", model, evaluate: { data: judged } };
    expect(defineExperiment(input, { baseDir: "data" }).baseDir).toBe(join(process.cwd(), "data"));
    const number = { baseDir: 5 as unknown as string };
    expect(() => defineExperiment(input, number)).toThrow("baseDir: expected the path of a folder, saw the number 5");
  });

  test("that holds itself is refused at once", () => {
    const round: Record<string, unknown> = { name: "x", model };
    round["evaluate"] = { data: round };
    expect(() => parseExperiment(round)).toThrow("evaluate.data.evaluate: has no end");
    const list: unknown[] = [];
    list.push(list);
    expect(() => parseExperiment({ name: "x", model, steps: list })).toThrow("steps.0.0: has no end");
  });

  test("of what comes with Quarry needs no files", () => {
    const { config } = defineExperiment({
      name: "demo",
      model: biEncoder(demoModel),
      train: { data: binary({ positives: demoSource("train") }) },
      evaluate: { data: demoSource("heldout") },
    });
    expect(config.model.checkpoint).toBe("embedded:all-MiniLM-L6-v2");
    expect(config.evaluate?.data).toMatchObject({ corpus: "embedded:stdlib/heldout" });
  });

  test("written as plain objects needs no kinds", () => {
    const config = parseExperiment({
      name: "plain",
      model: { checkpoint: "some/model" },
      train: { data: { sources: [{ corpus: "c.jsonl", qrels: "q.tsv" }] } },
      evaluate: { data: { corpus: "c.jsonl", qrels: "q.tsv" } },
    });
    expect(config.train?.data.kind).toBe("multiLevel");
    expect(config.evaluate?.data.kind).toBe("source");
  });
});

describe("what is wrong", () => {
  test("is listed all at once, each with its path, as a CONFIG error with exit status 2", () => {
    const error = failure({
      name: "a b",
      model: { kind: "biEncoder", chekpoint: "m", dtype: 3 },
      seed: "3",
      workers: { count: "many" },
    });
    expect(error.exitStatus).toBe(2);
    expect(error.message).toMatchInlineSnapshot(`
      "6 problems in the experiment:
        name: letters, digits, '.', '_' and '-' only; saw the text "a b"
        model.checkpoint: is missing. A Hugging Face model id, a folder, or demoModel.
        model.dtype: expected one of auto, float32, bfloat16, float16, saw the number 3
        model.chekpoint: unknown option; did you mean checkpoint?
        workers.count: expected a whole number of at least 0 or auto, saw the text "many"
        seed: expected a whole number of at least 0 and of at most 4294967295, saw the text "3""
    `);
  });

  test.each([
    [{ sed: 1 }, "sed: unknown option; did you mean seed?"],
    [
      { evaluate: { data: judged, topk: 5, batchSize: 3 } },
      "evaluate.batchSize: unknown option; did you mean workers.batchSize?",
    ],
    [
      { workers: { gradientAccumulationSteps: 2 } },
      "workers.gradientAccumulationSteps: unknown option; did you mean train.queriesPerRank?",
    ],
    [
      { workers: { xyzzy: 2 } },
      "workers.xyzzy: unknown option; there are count, listen, nodes, threads, device, batchSize, unitSize, credits, maxAttempts, heartbeatTimeoutMs, unitTimeoutMs",
    ],
    [
      { evaluate: { data: judged, measures: [] } },
      "evaluate.measures: expected a list with at least one entry of text, saw an empty list",
    ],
    [
      { evaluate: { data: judged, measures: ["nDGC@10"] } },
      'evaluate.measures.0: unknown measure the text "nDGC@10"; did you mean nDCG@10?',
    ],
    [
      { evaluate: { data: judged, measures: ["R"] } },
      'evaluate.measures.0: unknown measure the text "R"; did you mean R@10?',
    ],
    [
      { evaluate: { data: { ...judged, qrels: 4 } } },
      "evaluate.data.qrels: expected text or a group of options { … } or a list with at least one entry, each text or a group of options { … }, saw the number 4",
    ],
    [
      { evaluate: { data: "corpus.jsonl" } },
      'evaluate.data: expected what source(…) gives or what combined(…) gives or what suite(…) gives, saw the text "corpus.jsonl"',
    ],
    [
      { evaluate: { data: source({ corpus: "c.jsonl" }) } },
      'evaluate.data.qrels: is missing; evaluation needs judgements, e.g. qrels: "qrels/test.tsv"',
    ],
    [
      { evaluate: { data: { ...judged, corpus: { path: "c.jsonl", fromat: "jsonl" } } } },
      "evaluate.data.corpus.fromat: unknown option; did you mean format?",
    ],
    [
      { evaluate: { data: { ...judged, qrels: ["a.tsv", { path: "b.jsonl", part: "positive" }] } } },
      'evaluate.data.qrels.1.part: the text "positive" is not one of all, positives, negatives; did you mean positives?',
    ],
    [
      { evaluate: { data: { ...judged, filter: () => true } } },
      "evaluate.data.filter: expected what step({ name, version, fn }) gives, saw a function",
    ],
    [
      { evaluate: { data: { ...judged, templates: { passage: "{titel}: {text}" } } } },
      "evaluate.data.templates.passage: there is no {titel}; use {title} and {text}",
    ],
    [
      { evaluate: { data: { ...judged, templates: { query: "question" } } } },
      "evaluate.data.templates.query: leaves the text out; put {text} where it belongs",
    ],
    [
      { evaluate: { data: { ...judged, groupTopK: 1, groupRandomK: 2 } } },
      "evaluate.data.groupRandomK: excludes groupTopK; keep one of groupTopK, groupRandomK",
    ],
    [
      { evaluate: { data: { ...judged, scoreTransform: { map: { relevant: 1 } } } } },
      'evaluate.data.scoreTransform.map: maps "relevant", which is no number',
    ],
    [
      { evaluate: { data: combined({ sources: [{ ...judged, minscore: 1 } as typeof judged] }) } },
      "evaluate.data.sources.0.minscore: unknown option; did you mean minScore?",
    ],
    [
      { train: { data: mix({ parts: [{ data: binary({ positives: judged, negativesPerQuery: 2 }) }] }) } },
      "train.data.parts.0.data.negativesPerQuery: asks for 2 negatives, but train.data.parts.0.data.negatives is missing",
    ],
    [
      { steps: ["trian"] },
      'steps.0: the text "trian" is not one of evaluate, train, mine, encode, search; did you mean train?',
    ],
    [
      { train: { data: binary({ positives: judged }) }, steps: ["train", "train"] },
      "steps.1: names train again, but an experiment trains once; another training is another experiment",
    ],
    [
      { evaluate: { data: judged, measures: ["nDCG@10", "recall@1000", "R@200"] } },
      "evaluate.topK: keeps 100 passages, but R@1000 looks at 1000; set evaluate.topK to 1000",
    ],
    [
      { evaluate: { data: judged, topK: 5 } },
      "evaluate.topK: keeps 5 passages, but R@100 looks at 100; set evaluate.topK to 100",
    ],
    [
      { workers: { batchSize: 65_537 } },
      "workers.batchSize: expected a whole number of at least 1 and of at most 65536 or auto, saw the number 65537",
    ],
    [
      { workers: { heartbeatTimeoutMs: 800 } },
      "workers.heartbeatTimeoutMs: expected a whole number of at least 3000, saw the number 800",
    ],
    [
      { evaluate: { data: judged, topK: 1_000_001 } },
      "evaluate.topK: expected a whole number of at least 1 and of at most 1000000, saw the number 1000001",
    ],
    [{ model: { ...model, revision: "" } }, 'model.revision: expected text of 1 to 256 characters, saw the text ""'],
    [
      { model: { ...model, plugins: "mine.py" } },
      'model.plugins: expected a list of at most 64 entries of text of 1 to 4096 characters, saw the text "mine.py"',
    ],
    [
      { model: { ...model, prompts: { query: "q".repeat(65_537) } } },
      `model.prompts.query: expected text of at most 65536 characters, saw the text "${"q".repeat(57)}…"`,
    ],
    [{ steps: ["train"] }, "steps.0: names train, but the experiment has no train section"],
    [
      { model: { ...model, trustRemoteCode: true, revision: "main" } },
      "model.revision: trustRemoteCode runs foreign code, so it needs the commit (40 hexadecimal digits) that you have read",
    ],
    [
      { train: { data: binary({ positives: judged, negativesPerQuery: 2 }) } },
      "train.data.negativesPerQuery: asks for 2 negatives, but train.data.negatives is missing",
    ],
    [
      { train: { data: binary({ positives: judged }), globalBatchSize: 32, ranks: 3 } },
      "train.globalBatchSize: 32 cannot be shared equally among 3 ranks; 30 or 33 can",
    ],
    [
      { train: { data: binary({ positives: judged }), globalBatchSize: 0 } },
      "train.globalBatchSize: expected a whole number of at least 1, saw the number 0",
    ],
    [
      { train: { data: judged } },
      "train.data: expected what binary(…) gives or what scored(…) gives or what multiLevel(…) gives or what mix(…) gives, saw what source(…) gives",
    ],
    [
      { evaluate: { data: binary({ positives: judged }) } },
      "evaluate.data: expected what source(…) gives or what combined(…) gives or what suite(…) gives, saw what binary(…) gives",
    ],
    [
      { workers: { nodes: [{ kind: "ssh", host: "gpu1" }] } },
      "workers.nodes: are on other machines, which have to reach this one; set workers.listen, e.g. tcp://10.0.0.5:0",
    ],
    [
      { workers: { listen: "tcp://10.0.0.5:0", nodes: [{ kind: "ssh", hots: "gpu1" }] } },
      "workers.nodes.0.hots: unknown option; did you mean host?",
    ],
    [
      { workers: { listen: "tcp://10.0.0.5:0", nodes: [{ kind: "ssh", host: "-x" }] } },
      `workers.nodes.0.host: no spaces, and no '-' in front; saw the text "-x"`,
    ],
    [
      { workers: { listen: "10.0.0.5" } },
      'workers.listen: expected tcp://host:port with a port up to 65535 (0 for any), saw "10.0.0.5"',
    ],
    [
      { workers: { listen: "tcp://127.0.0.1:99999" } },
      'workers.listen: expected tcp://host:port with a port up to 65535 (0 for any), saw "tcp://127.0.0.1:99999"',
    ],
    [
      { workers: { count: 0 } },
      "workers.count: is 0, and no other worker can join; set workers.listen, or count to 1 or more",
    ],
    [{ workers: { device: "gpu" } }, 'workers.device: expected auto, cpu, cuda or cuda:N, saw "gpu"'],
    [
      { train: { data: binary({ positives: judged }), learning_rate: 1, learningRate: 2 } },
      "train.learning_rate: unknown option; did you mean train.args.learningRate?",
    ],
    [
      { model: { ...model, prompts: { document: "a", passage: "b" } } },
      "model.prompts.passage: says the same as document; keep one of them",
    ],
  ])("%j is answered in plain words", (options, message) => {
    expect(problems(options)).toContain(message);
  });

  test("with something that is no object at all is said as well", () => {
    expect(failure("experiment").message).toBe('an experiment is an object of options, saw the text "experiment"');
  });
});

describe("names from other tools", () => {
  test("of measures become those of ir_measures", () => {
    const measures = "ndcg@10 ndcg_cut_10 recall@100 mrr@10 MRR@10 map@100 P_5 success_1 recip_rank Rprec".split(" ");
    const { config } = defineExperiment({ name: "x", model, evaluate: { data: judged, measures } });
    expect(config.evaluate?.measures).toEqual(
      "nDCG@10 nDCG@10 R@100 RR@10 RR@10 AP@100 P@5 Success@1 RR Rprec".split(" "),
    );
  });

  test("of pooling, prompts, similarity and number formats are replaced", () => {
    const config = parseExperiment({
      name: "x",
      model: {
        checkpoint: "m",
        pooling: "lasttoken",
        prompts: { query: "q: ", document: "d: " },
        similarity: "cos_sim",
        torch_dtype: "bf16",
      },
      evaluate: { data: { ...judged, prompts: { document: "d: " }, templates: { corpus: "{text}" } } },
    });
    expect(config.evaluate?.data).toMatchObject({ prompts: { passage: "d: " }, templates: { passage: "{text}" } });
    expect(config.model).toMatchObject({
      pooling: "last",
      prompts: { query: "q: ", passage: "d: " },
      similarity: "cosine",
      dtype: "bfloat16",
    });
  });

  test("of TrainingArguments are taken in snake_case", () => {
    const args = { learning_rate: 1e-4, max_steps: 7, lr_scheduler_type: "cosine", adam_beta1: 0.8 };
    const config = parseExperiment({ name: "x", model, train: { data: binary({ positives: judged }), args } });
    expect(config.train?.args).toMatchObject({
      learningRate: 1e-4,
      maxSteps: 7,
      lrSchedulerType: "cosine",
      adamBeta1: 0.8,
    });
  });

  test.each([
    [
      { name: "MultipleNegativesRankingLoss", scale: 50 },
      { name: "infonce", temperature: 0.02 },
    ],
    [{ name: "MultipleNegativesRankingLoss" }, { name: "infonce", temperature: 0.05 }],
    [
      { name: "InfoNCE", temperature: 0.1 },
      { name: "infonce", temperature: 0.1 },
    ],
    [
      { name: "MultipleNegativesSymmetricRankingLoss", scale: 10 },
      { name: "infonce", temperature: 0.1, symmetric: true },
    ],
    [{ name: "MarginMSELoss" }, { name: "margin_mse" }],
    [{ name: "TripletLoss" }, { name: "triplet", distance: "euclidean", margin: 5 }],
    [
      { name: "TripletLoss", triplet_margin: 1, distance_metric: "TripletDistanceMetric.COSINE" },
      { name: "triplet", distance: "cosine", margin: 1 },
    ],
    [{ name: "CoSENTLoss" }, { name: "cosent", temperature: 0.05 }],
    [
      { name: "DistillKLDivLoss", temperature: 3, teacher_temperature: 2 },
      { name: "kl", temperature: 3, labelTemperature: 2, weight: 9 },
    ],
    [
      { name: "MatryoshkaLoss", loss: { name: "CoSENTLoss", scale: 10 }, matryoshka_dims: [64, 32], weight: 2 },
      { name: "cosent", temperature: 0.1, weight: 2, matryoshka: { dimensions: [64, 32] } },
    ],
    [
      { name: "MatryoshkaLoss", loss: { name: "DistillKLDivLoss", temperature: 2 }, matryoshkaDims: [64], weight: 0.5 },
      { name: "kl", temperature: 2, labelTemperature: 2, weight: 2, matryoshka: { dimensions: [64] } },
    ],
    [
      [{ name: "MarginMSELoss", weight: 0.2 }, { name: "InfoNCE" }],
      [{ name: "margin_mse", weight: 0.2 }, { name: "infonce" }],
    ],
  ])("of losses mean the same here: %j", (loss, expected) => {
    const config = parseExperiment({ name: "x", model, train: { data: multiLevel({ sources: [judged] }), loss } });
    expect(config.train?.loss).toEqual(expected);
  });

  test("of cached losses become train.miniBatchSize, whatever the loss", () => {
    const learn = (loss: object, others: object = {}): object => ({
      ...{ name: "x", model, train: { data: multiLevel({ sources: [judged] }), loss, ...others } },
    });
    const train = (input: object) => parseExperiment(input).train;
    const cached = { name: "CachedMultipleNegativesRankingLoss", mini_batch_size: 8 };
    expect(train(learn(cached))).toMatchObject({ loss: { name: "infonce", temperature: 0.05 }, miniBatchSize: 8 });
    expect(train(learn({ name: "CachedMultipleNegativesRankingLoss" }))?.miniBatchSize).toBe(32);
    expect(train(learn([{ name: "kl", miniBatchSize: 4 }, {}]))).toMatchObject({
      loss: [{ name: "kl" }, { name: "infonce" }],
      miniBatchSize: 4,
    });
    expect(() => train(learn(cached, { miniBatchSize: 16 }))).toThrow(
      "train.loss.miniBatchSize: says something else than train.miniBatchSize",
    );
  });
});
