/**
 * Tevatron's training files, in the shapes of its history:
 * 1. passages as objects: {query_id, query, positive_passages: [{docid, title, text}], negative_passages: […]}, with a
 *    `score` in each passage where a teacher was asked (versions 1 and 2, and the data sets of its organisation);
 * 2. plain lists, the files that its first data loader took: {query, positives: […], negatives: […]}. There they mostly
 *    held token ids, which are refused; texts are read;
 * 3. ids only: {query_id, query_text, positive_document_ids: […], negative_document_ids: […]}, beside a corpus.
 */
import { Fields, idOf, numberOf, ShapeFault, type TrainingLine, type TrainingPassage, textOf } from "./line.js";
import { type Shape, trainingFormat } from "./training-format.js";

const PASSAGE_ID = ["docid", "doc_id", "passage_id", "_id", "id"] as const;

const tevatronShape: Shape = {
  name: "tevatron",
  version: 1,
  renames: { query: "query", passage: "positive_passages" },
  keys: /^(query|qid|query_id|query_text|(positive|negative)_(passages|document_ids)|positives|negatives)$/,
  matches: ({ keys }) =>
    ["positive_passages", "negative_passages", "positive_document_ids", "negative_document_ids"].some((key) =>
      keys.has(key),
    ) ||
    (keys.has("query") && (keys.has("positives") || keys.has("negatives"))),
  read,
};

export const tevatron = trainingFormat(tevatronShape);

function read(line: Fields): TrainingLine {
  if (line.find(["positive_passages", "negative_passages"]) !== null) return withObjects(line);
  if (line.find(["positives", "negatives"]) !== null) return withLists(line);
  if (line.find(["positive_document_ids", "negative_document_ids"]) !== null) return withIds(line);
  throw line.missing("positive_passages");
}

function withObjects(line: Fields): TrainingLine {
  const passage = (value: unknown, label: number): TrainingPassage => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new ShapeFault("a passage is no object.", 'Passages look like {"docid": "d1", "title": "…", "text": "…"}.');
    }
    const fields = new Fields(value as Record<string, unknown>, line.isTyped, "a passage");
    return {
      id: fields.id(PASSAGE_ID),
      title: fields.optionalText("title"),
      text: fields.text("text"),
      label,
      score: fields.has("score") ? numberOf(fields.value("score"), "score") : null,
    };
  };
  return {
    queryId: line.id(["query_id", "qid"]),
    query: line.text("query"),
    prompt: "",
    passages: [
      ...line.list("positive_passages").map((value) => passage(value, 1)),
      ...line.list("negative_passages").map((value) => passage(value, 0)),
    ],
  };
}

function withLists(line: Fields): TrainingLine {
  const texts = (name: string, label: number): TrainingPassage[] =>
    line.list(name).map((value) => ({ id: null, title: "", text: textOf(value, name), label, score: null }));
  return {
    queryId: line.id(["query_id", "qid"]),
    query: line.text("query"),
    prompt: "",
    passages: [...texts("positives", 1), ...texts("negatives", 0)],
  };
}

function withIds(line: Fields): TrainingLine {
  const ids = (name: string, label: number): TrainingPassage[] =>
    line
      .list(name)
      .map((value) => ({ id: idOf(value, name, line.isTyped), title: "", text: null, label, score: null }));
  const queryId = line.id(["query_id", "qid"]);
  if (queryId === null) throw line.missing("query_id");
  const name = line.find(["query_text", "query"]);
  return {
    queryId,
    query: name === null ? null : line.text(name),
    prompt: "",
    passages: [...ids("positive_document_ids", 1), ...ids("negative_document_ids", 0)],
  };
}
