/**
 * Training files of sentence-transformers. One text each of
 *   a query:    anchor, query, question, sentence1;
 *   positives:  positive, pos, answer, sentence2 (a text or a list);
 *   negatives:  negative, negative_1 … negative_n, neg, negatives (a text or a list);
 * or lists of texts, ["anchor", "positive"] and ["anchor", "positive", "negative", …].
 *
 * Numbers (score, scores, label, labels) beside negatives are a teacher's: one for each text, positives first; a single
 * number there is a margin and no score of a passage, so `scores: "teacher"` refuses it. Where a line has no negatives
 * (pairs with a label or a score, lists with labels) each number is its text's grade, whatever `scores` says: nothing
 * else tells which texts are positive. Sets ({"set": […]}) and classes of entailment (premise, hypothesis) are not read.
 */
import { counted } from "../../../counted.js";
import { beside, type Fields, ShapeFault, type TrainingLine, textOf } from "./line.js";
import { type Shape, trainingFormat } from "./training-format.js";

const QUERY = ["anchor", "query", "question", "sentence1"] as const;
const POSITIVE = ["positive", "pos", "answer", "sentence2"] as const;
const KEYS =
  /^(anchor|query|question|sentence[12]|positive|pos|answer|negatives?|neg|negative_\d+|scores?|labels?|qid|query_id)$/;
const NEGATIVE = /^(negatives?|neg|negative_(\d+))$/;

const sentenceTransformersShape: Shape = {
  name: "sentence-transformers",
  version: 1,
  renames: { query: "query", passage: "positive", score: "scores" },
  keys: KEYS,
  matches({ kind, keys }, role) {
    // Lists of ids look the same.
    if (kind === "list") return role !== "ids";
    if (!QUERY.some((name) => keys.has(name))) return false;
    // FlagEmbedding's, and read alike.
    if (keys.has("query") && keys.has("pos")) return false;
    // Questions with ids and answers are queries of a collection rather than pairs to train on.
    const hasId = ["_id", "id", "qid", "query_id"].some((name) => keys.has(name));
    return POSITIVE.some((name) => keys.has(name) && !(name === "answer" && hasId));
  },
  read,
  readList,
};

export const sentenceTransformers = trainingFormat(sentenceTransformersShape);

function read(line: Fields): TrainingLine {
  const query = line.find(QUERY);
  const positive = line.find(POSITIVE);
  if (query === null) throw line.missing("anchor");
  if (positive === null) throw line.missing("positive");
  const positives = line.list(positive).map((value) => textOf(value, positive));
  const negatives = negativeNames(line).flatMap((name) => line.list(name).map((value) => textOf(value, name)));
  const texts = [...positives, ...negatives];
  const numbers = (names: readonly string[]): readonly (number | null)[] | null => {
    const name = line.find(names);
    if (name === null) return null;
    const isMargin = negatives.length > 0 && !Array.isArray(line.value(name));
    return isMargin ? null : beside(line.numbers(name), texts.length, name, "the line");
  };
  const labels = numbers(["labels", "label"]);
  const scores = numbers(["scores", "score"]) ?? labels;
  const grades = negatives.length > 0 ? null : (labels ?? scores);
  return {
    queryId: line.id(["query_id", "qid"]),
    query: line.text(query),
    prompt: "",
    passages: texts.map((text, index) => ({
      id: null,
      title: "",
      text,
      label: grades?.[index] ?? (index < positives.length ? 1 : 0),
      score: scores?.[index] ?? null,
    })),
  };
}

function readList(line: readonly unknown[]): TrainingLine {
  if (line.length < 2) {
    throw new ShapeFault(
      `a list of ${counted(line.length, "texts")}.`,
      'Lists hold a query, a positive and perhaps negatives: ["a", "p", "n"].',
    );
  }
  const [query, ...texts] = line.map((value) => textOf(value, "list"));
  return {
    queryId: null,
    query: query as string,
    prompt: "",
    passages: texts.map((text, index) => ({ id: null, title: "", text, label: index === 0 ? 1 : 0, score: null })),
  };
}

/** In the order of their numbers, as scores are written, wherever the keys stand. */
function negativeNames(line: Fields): string[] {
  const numberIn = (name: string): number => Number(NEGATIVE.exec(name)?.[2] ?? -1);
  return line.names.filter((name) => NEGATIVE.test(name)).sort((one, two) => numberIn(one) - numberIn(two));
}
