/** A wrong loss is answered before Python starts, by name, option and value. */
import { describe, expect, test } from "vitest";
import { biEncoder, multiLevel, parseExperiment, source } from "../../../src/experiment/define.js";
import { problems } from "./refusals.js";

const model = biEncoder("some/model");
const judged = source({ corpus: "corpus.jsonl", qrels: "qrels/test.tsv" });

describe("a loss", () => {
  const learn = (loss: object, options: object = model): object => ({
    model: options,
    train: { data: multiLevel({ sources: [judged] }), loss },
  });

  test.each([
    [{ name: "infnce" }, 'train.loss.name: no loss is called "infnce"; did you mean infonce?'],
    [
      { name: "xyzzy" },
      'train.loss.name: no loss is called "xyzzy"; there are cosent, infonce, kl, lambdarank, listwise, margin_mse, triplet, ws_contrastive, and others once a Python file of model.plugins registers them',
    ],
    [{ temprature: 0.1 }, "train.loss.temprature: infonce has no such option; did you mean temperature?"],
    [
      { name: "margin_mse", xyzzy: 1 },
      "train.loss.xyzzy: margin_mse has no such option; there are scale, weight, sources, matryoshka",
    ],
    [{ symmetric: 1 }, "train.loss.symmetric: expected true or false, saw the number 1"],
    [
      { name: "triplet", distance: "hamming" },
      'train.loss.distance: expected one of cosine, euclidean, manhattan, saw the text "hamming"',
    ],
    [
      [{ name: "infonce" }, { name: "kl", temperature: 0, weight: 0.5 }],
      "train.loss.1.temperature: expected a number above 0, saw the number 0",
    ],
    [{ weight: 0 }, "train.loss.weight: expected a number above 0, saw the number 0"],
    [
      [],
      "train.loss: expected a group of options { … } or a list with at least one entry of at most 64 entries of a group of options { … }, saw an empty list",
    ],
    [
      { matryoshka: { dimensions: [64, 32], weights: [1] } },
      "train.loss.matryoshka.weights: has 1 weights for 2 dimensions; give one for each",
    ],
    [
      { name: "kl", label_temprature: 1 },
      "train.loss.label_temprature: kl has no such option; did you mean labelTemperature?",
    ],
    [{ temperature: "warm" }, 'train.loss.temperature: expected a number above 0, saw the text "warm"'],
    [
      { name: "MultipleNegativesRankingLoss", scale: 0 },
      "train.loss.scale: expected a number above 0, saw the number 0",
    ],
  ])("%j is answered before Python starts", (loss, message) => {
    expect(problems(learn(loss))).toEqual([message]);
  });

  test.each([[{ name: "kl", labelTemperature: 2 }], [{ name: "kl", label_temperature: 2, temperature: 1 }], [{}]])(
    "%j is accepted",
    (loss) => {
      expect(() => parseExperiment({ name: "x", ...learn(loss) })).not.toThrow();
    },
  );

  test("of a plugin has a name and options of its own; those of Quarry's losses are still checked", () => {
    const plugged = biEncoder("some/model", { plugins: ["losses.py"] });
    const config = parseExperiment({ name: "x", ...learn({ name: "my_loss", margin: 1 }, plugged) });
    expect(config.train?.loss).toEqual({ name: "my_loss", margin: 1 });
    expect(config.model.plugins).toEqual(["losses.py"]);
    expect(problems(learn({ margin: 1 }, plugged))).toHaveLength(1);
  });
});
