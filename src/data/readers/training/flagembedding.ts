/**
 * FlagEmbedding's training files: {query, pos: […], neg: […], pos_scores: […], neg_scores: […], prompt, type}; all but
 * query and pos may be missing. The prompt becomes the query's own; `type` (how FlagEmbedding batches) is not used.
 */
import { beside, type Fields, type TrainingLine, type TrainingPassage, textOf } from "./line.js";
import { type Shape, trainingFormat } from "./training-format.js";

const flagEmbeddingShape: Shape = {
  name: "flagembedding",
  version: 1,
  hasPrompts: true,
  renames: { query: "query", passage: "pos", prompt: "prompt" },
  keys: /^(query|qid|query_id|prompt|(pos|neg)(_scores)?)$/,
  matches: ({ keys }) => keys.has("query") && (keys.has("pos") || keys.has("neg")),
  read,
};

export const flagEmbedding = trainingFormat(flagEmbeddingShape);

function read(line: Fields): TrainingLine {
  if (!line.has("pos") && !line.has("neg")) throw line.missing("pos");
  const side = (name: "pos" | "neg", label: number): TrainingPassage[] => {
    const texts = line.list(name).map((value) => textOf(value, name));
    const scores = beside(line.numbers(`${name}_scores`), texts.length, `${name}_scores`, `"${name}"`);
    return texts.map((text, index) => ({ id: null, title: "", text, label, score: scores[index] ?? null }));
  };
  return {
    queryId: line.id(["query_id", "qid"]),
    query: line.text("query"),
    prompt: line.optionalText("prompt"),
    passages: [...side("pos", 1), ...side("neg", 0)],
  };
}
