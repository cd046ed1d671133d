/** A wrong loss is answered before Python starts, by name, option and value. */
import { describe, expect, test } from "vitest";
import { biEncoder, binary, mix, multiLevel, parseExperiment, source } from "../../../src/experiment/define.js";
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
      "train.loss.matryoshka.weights: has 1 weight for 2 dimensions; give one for each",
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
    [
      { name: "MultipleNegativesRankingLoss", scale: 100, temperature: 0.05 },
      "train.loss.scale: is 1 / temperature, and 100 says something else than a temperature of 0.05; keep one of them",
    ],
  ])("%j is answered before Python starts", (loss, message) => {
    expect(problems(learn(loss))).toEqual([message]);
  });

  test.each([
    [{ name: "kl", labelTemperature: 2 }],
    [{ name: "kl", label_temperature: 2, temperature: 1 }],
    [{ name: "MultipleNegativesRankingLoss", scale: 20, temperature: 0.05 }],
    [{}],
  ])("%j is accepted", (loss) => {
    expect(() => parseExperiment({ name: "x", ...learn(loss) })).not.toThrow();
  });

  test("of a plugin has a name and options of its own; those of Quarry's losses are still checked", () => {
    const plugged = biEncoder("some/model", { plugins: ["losses.py"] });
    const config = parseExperiment({ name: "x", ...learn({ name: "my_loss", margin: 1 }, plugged) });
    expect(config.train?.loss).toEqual({ name: "my_loss", margin: 1 });
    expect(config.model.plugins).toEqual(["losses.py"]);
    expect(problems(learn({ margin: 1 }, plugged))).toHaveLength(1);
  });
});

describe("a loss over a query's own passages", () => {
  const learn = (loss: object, data: object): object => ({ model, train: { data, loss } });
  const alone = binary({ positives: judged });
  const negatives = source({ corpus: "corpus.jsonl", qrels: "negatives.tsv" });
  const why = (place: string, who: string, instead: string): string =>
    `${place}: ${who} compares a query's own passages, and train.data gives each query only one: it would be 0 at every step; give negatives (negativesPerQuery, of multiLevel passagesPerQuery), or ${instead}`;

  test.each(["margin_mse", "lambdarank", "kl", "listwise", "triplet"])(
    "%s is refused where each query has one passage",
    (name) => {
      expect(problems(learn({ name }, alone))).toEqual([why("train.loss", name, "take infonce")]);
    },
  );

  test("is refused under its other name, inside Matryoshka, and among several", () => {
    const said = (place: string, name: string): string[] => [why(place, name, "take infonce")];
    expect(problems(learn({ name: "TripletLoss" }, alone))).toEqual(said("train.loss", "triplet"));
    const nested = { name: "MatryoshkaLoss", loss: { name: "kl" }, matryoshkaDims: [8] };
    expect(problems(learn(nested, alone))).toEqual(said("train.loss", "kl"));
    const several = [{ name: "infonce" }, { name: "margin_mse", weight: 0.2 }];
    expect(problems(learn(several, alone))).toEqual(said("train.loss.1", "margin_mse"));
  });

  test("may be infonce, without the passages of others", () => {
    const said = [why("train.loss", "infonce with inBatchNegatives: false", "leave inBatchNegatives out")];
    expect(problems(learn({ inBatchNegatives: false }, alone))).toEqual(said);
    expect(problems(learn({ in_batch_negatives: false }, alone))).toEqual(said);
    expect(() => parseExperiment({ name: "x", ...learn({}, alone) })).not.toThrow();
  });

  test("is refused for graded judgements cut to one passage, and for a mix of such", () => {
    const graded = multiLevel({ sources: [judged], passagesPerQuery: 1 });
    expect(problems(learn({ name: "kl" }, graded))).toHaveLength(1);
    const parts = mix({ parts: [{ name: "one", data: alone }, { data: alone }] });
    expect(problems(learn([{}, { name: "kl", sources: ["one"] }], parts))).toHaveLength(1);
  });

  test("is accepted with negatives, given or mined as the model learns", () => {
    const given = binary({ positives: judged, negatives, negativesPerQuery: 1 });
    expect(() => parseExperiment({ name: "x", ...learn({ name: "margin_mse" }, given) })).not.toThrow();
    const mined = binary({ positives: judged, negativesPerQuery: 1 });
    const train = { data: mined, loss: { name: "triplet" }, refresh: { everySteps: 2 } };
    expect(() => parseExperiment({ name: "x", model, train })).not.toThrow();
  });

  test("is the business of a plugin's retriever, which may feed it otherwise", () => {
    const train = { data: alone, loss: { name: "kl" }, retriever: { name: "mine" } };
    expect(() =>
      parseExperiment({ name: "x", model: biEncoder("some/model", { plugins: ["mine.py"] }), train }),
    ).not.toThrow();
  });
});
