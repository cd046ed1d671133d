/** Options on the command line: found, typed by the schema, validated like those of the script. */
import { describe, expect, test } from "vitest";
import { biEncoder, binary, parseExperiment, source } from "../../../src/experiment/define.js";
import { applyOverrides, splitArguments } from "../../../src/experiment/overrides.js";

const flags = new Map([
  ["--reporter", true],
  ["--debug", false],
]);
const judged = source({ corpus: "corpus.jsonl", qrels: "train.tsv" });
const input = {
  name: "x",
  model: biEncoder("m"),
  train: { data: binary({ positives: judged }), loss: { name: "infonce", temperature: 0.05 }, args: { max_steps: 5 } },
  evaluate: { data: judged },
};

/** The resolved experiment after command line arguments. */
function configOf(...argv: string[]) {
  return parseExperiment(applyOverrides(input, splitArguments(argv, flags).overrides));
}

describe("arguments", () => {
  test("are parted into overrides and what the command takes itself", () => {
    const argv = [
      "x.ts",
      "--reporter",
      "plain",
      "--train.args.max-steps",
      "-1",
      "--debug",
      "--no-train.dropout",
      "--seed=7",
    ];
    expect(splitArguments(argv, flags)).toEqual({
      rest: ["x.ts", "--reporter", "plain", "--debug"],
      overrides: [
        { path: "train.args.maxSteps", value: "-1" },
        { path: "train.dropout", value: false },
        { path: "seed", value: "7" },
      ],
    });
  });

  test("behind -- stay as they are", () => {
    expect(splitArguments(["--", "--sed", "1"], flags)).toEqual({ rest: ["--", "--sed", "1"], overrides: [] });
  });

  test("that do not exist are all named, each with the nearest one", () => {
    const argv = [
      "--train.args.learningrte",
      "1",
      "--trian.globalBatchSize=2",
      "--reportr",
      "--debgu",
      "--learning-rate",
      "1",
    ];
    expect(() => splitArguments(argv, flags)).toThrowErrorMatchingInlineSnapshot(`
      [QuarryError: 5 problems in the command line:
        --train.args.learningrte: unknown option; did you mean --train.args.learningRate?
        --trian.globalBatchSize: unknown option; did you mean --train.globalBatchSize?
        --reportr: unknown option; did you mean --reporter?
        --debgu: unknown option; did you mean --debug?
        --learning-rate: unknown option; did you mean --train.args.learningRate?]
    `);
  });

  test("that Quarry decides itself are answered as in a script", () => {
    expect(() => splitArguments(["--train.args.saveStrategy", "epoch"], flags)).toThrow(
      "--train.args.saveStrategy: is not taken. Quarry writes its own checkpoints: use train.args.saveSteps",
    );
    expect(() => splitArguments(["--train.args.logging-steps=1"], flags)).toThrow("is not taken. Every step is in");
  });

  test("without their value are refused", () => {
    expect(() => splitArguments(["--seed"], flags)).toThrow("--seed: needs a value: a whole number");
    expect(() => splitArguments(["--reporter"], flags)).toThrow("--reporter: needs a value");
  });

  test("do not take the next option for their value", () => {
    const argv = ["x.ts", "--seed", "--runDir", "runs/x", "--name", "--debug"];
    expect(() => splitArguments(argv, flags)).toThrow(
      "--seed: needs a value: a whole number of at least 0 and of at most 4294967295\n" +
        "  --name: needs a value: text; if --debug is meant, write --name=--debug",
    );
    expect(() => splitArguments(["--reporter", "--debug", "x.ts"], flags)).toThrow("--reporter: needs a value");
    expect(splitArguments(["--name=--x"], flags).overrides).toEqual([{ path: "name", value: "--x" }]);
  });

  test("that turn a switch off take no value, and are told from one that is misspelt or no switch", () => {
    for (const [argument, message] of [
      ["--no-train.dropout=1", "--no-train.dropout: takes no value; it stands for --train.dropout=false"],
      ["--no-train.dropuot", "--no-train.dropuot: unknown option; did you mean --no-train.dropout?"],
      ["--no-seed", "--no-seed: only switches are turned off; seed takes a whole number"],
    ] as const) {
      expect(() => splitArguments([argument], flags)).toThrow(message);
    }
  });

  test("with a word behind a switch, where the command has all its operands, name the switch", () => {
    expect(() => splitArguments(["x.ts", "--train.dropout", "maybe"], flags, 1)).toThrow(
      "--train.dropout: expected true or false, saw maybe",
    );
    expect(splitArguments(["--train.dropout", "x.ts"], flags, 1).rest).toEqual(["x.ts"]);
  });

  test("that give a list twice are refused: the first one would be lost", () => {
    const argv = ["--evaluate.measures", "nDCG@10", "--evaluate.measures=R@5"];
    expect(() => splitArguments(argv, flags)).toThrow(
      "--evaluate.measures: is given twice; give one list: --evaluate.measures a,b",
    );
  });

  test("with --json are led to the reporter", () => {
    expect(() => splitArguments(["--json"], flags)).toThrow("--json: unknown option; did you mean --reporter json?");
  });
});

describe("an override", () => {
  test("takes the place of the script's option, in camelCase and in kebab-case", () => {
    expect(configOf("--train.args.max-steps", "9").train?.args.maxSteps).toBe(9);
    expect(configOf("--train.args.maxSteps", "9").train?.args.maxSteps).toBe(9);
    expect(configOf("--run-dir", "out").runDir).toBe("out");
    expect(configOf("--model.checkpoint", "other/model").model.checkpoint).toBe("other/model");
  });

  test("takes a loss, or a list of them, as JSON", () => {
    const one = configOf("--train.loss", '{"name": "cosent", "temperature": 1}');
    expect(one.train?.loss).toEqual({ name: "cosent", temperature: 1 });
    expect(configOf("--train.loss", '[{"name": "cosent"}, {"weight": 2}]').train?.loss).toEqual([
      { name: "cosent" },
      { name: "infonce", weight: 2 },
    ]);
  });

  test("reaches a loss's own options, which are read as numbers where they are numbers", () => {
    const { train } = configOf(
      "--model.plugins",
      "losses.py",
      "--train.loss.name",
      "my_loss",
      "--train.loss.temperature",
      "0.1",
      "--train.loss.mode",
      "fast",
    );
    expect(train?.loss).toEqual({ name: "my_loss", temperature: 0.1, mode: "fast" });
  });

  test("keeps text as text where the schema takes text", () => {
    expect(configOf("--name", "123").name).toBe("123");
    expect(configOf("--model.prompts.query", "1").model.prompts.query).toBe("1");
  });

  test("is read as number or word where the schema takes both", () => {
    expect(configOf("--workers.count", "3").workers.count).toBe(3);
    expect(configOf("--workers.count", "auto").workers.count).toBe("auto");
  });

  test("of a list is JSON or parts between commas", () => {
    expect(configOf("--evaluate.measures", "ndcg@10,recall@5").evaluate?.measures).toEqual(["nDCG@10", "R@5"]);
    expect(configOf("--evaluate.measures", '["P@5"]').evaluate?.measures).toEqual(["P@5"]);
    expect(configOf("--evaluate.data.qrels", "a.tsv").evaluate?.data).toMatchObject({ qrels: "a.tsv" });
    expect(configOf("--evaluate.data.qrels", "a.tsv,b.tsv").evaluate?.data).toMatchObject({
      qrels: ["a.tsv", "b.tsv"],
    });
  });

  test("of a switch is --x, --no-x, --x=true, --x=false, or a word behind it", () => {
    expect(configOf("--train.args.bf16").train?.args.bf16).toBe(true);
    expect(configOf("--train.dropout=false").train?.dropout).toBe(false);
    expect(configOf("--train.dropout", "false").train?.dropout).toBe(false);
    expect(configOf("--no-train.dropout").train?.dropout).toBe(false);
    expect(configOf("--model.normalize=true").model.normalize).toBe(true);
  });

  test("of a group is JSON", () => {
    expect(configOf("--model.prompts", '{"query":"q: "}').model.prompts).toEqual({ query: "q: " });
    expect(() => configOf("--model.prompts", "q: ")).toThrow("model.prompts: is a group of options");
  });

  test("of a loss is never its name alone, and says how to name it", () => {
    expect(() => configOf("--train.loss", "kl")).toThrow(
      'train.loss: is a group of options; write --train.loss.name kl or give JSON, saw the text "kl"',
    );
    expect(configOf("--train.loss", '[{"name":"cosent"},{}]').train?.loss).toMatchObject([{ name: "cosent" }, {}]);
  });

  test("of a loss is read in the words of the loss that the script, or the command line, names", () => {
    const lossOf = (loss: object | object[], ...argv: string[]) => {
      const written = { ...input, train: { ...input.train, loss } };
      return parseExperiment(applyOverrides(written, splitArguments(argv, flags).overrides)).train?.loss;
    };
    const ranking = { name: "MultipleNegativesRankingLoss", scale: 20 };
    expect(lossOf(ranking, "--train.loss.scale", "50")).toMatchObject({ name: "infonce", temperature: 0.02 });
    expect(lossOf(ranking, "--train.loss.temperature", "0.1")).toMatchObject({ temperature: 0.1 });
    expect(lossOf([{ name: "cosent" }, ranking], "--train.loss.1.scale", "50")).toMatchObject([
      {},
      { temperature: 0.02 },
    ]);
    const matryoshka = { name: "MatryoshkaLoss", loss: ranking, matryoshkaDims: [8] };
    expect(lossOf(matryoshka, "--train.loss.scale", "50")).toMatchObject({ temperature: 0.02 });
    const tempered = { name: "infonce", temperature: 0.05 };
    const renamed = ["--train.loss.scale", "100", "--train.loss.name", "MultipleNegativesRankingLoss"];
    expect(lossOf(tempered, ...renamed)).toMatchObject({ name: "infonce", temperature: 0.01 });
    expect(() => lossOf(ranking, "--train.loss.scale", "0")).toThrow(
      "train.loss.scale: expected a number above 0, saw the number 0",
    );
    expect(() => lossOf(tempered, "--train.loss.scale", "20")).toThrow("infonce has no such option");
  });

  test("hides nothing that is wrong with the script, unless it takes its place", () => {
    const loss = { name: "MultipleNegativesRankingLoss", scale: 100, temperature: 0.05 };
    const written = { ...input, train: { ...input.train, loss } };
    const apply = (path: string, value: string) => parseExperiment(applyOverrides(written, [{ path, value }]));
    expect(() => apply("seed", "1")).toThrow("train.loss.scale: is 1 / temperature, and 100 says something else");
    expect(apply("train.loss.scale", "50").train?.loss).toMatchObject({ temperature: 0.02 });
  });

  test("goes through the same validation as the script", () => {
    expect(() => configOf("--seed", "many")).toThrow(
      'seed: expected a whole number of at least 0 and of at most 4294967295, saw the text "many"',
    );
    expect(() => configOf("--model.pooling", "men")).toThrow("did you mean mean?");
    expect(configOf("--model.pooling", "lasttoken").model.pooling).toBe("last");
    expect(() => configOf("--train.args.maxSteps", "1.5")).toThrow(
      "expected a whole number of at least -1, saw the number 1.5",
    );
  });

  test("makes the groups on its way, and what they lack is said", () => {
    expect(() => configOf("--mine.topK", "5")).toThrow("mine.data: is missing");
    expect(configOf("--workers.batch-size", "4").workers.batchSize).toBe(4);
  });

  test("leaves the script's own objects as they are", () => {
    configOf("--train.args.max-steps", "9");
    expect(input.train.args).toEqual({ max_steps: 5 });
  });

  test("with a path that does not exist is refused when a script gives it", () => {
    expect(() => applyOverrides(input, [{ path: "train.arg.maxSteps", value: 1 }])).toThrow(
      "train.arg.maxSteps: unknown option; did you mean args?",
    );
  });
});
