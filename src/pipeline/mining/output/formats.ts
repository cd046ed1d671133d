/** The formats that mined negatives are written in, by the names that the option `mine.output` gives them. */
import type { MineConfig } from "../../../experiment/schema.js";
import type { MinedFormat } from "./entry.js";
import * as ids from "./ids.js";
import * as training from "./training.js";

type Options = Pick<MineConfig, "output" | "scores" | "negativesPerQuery">;
type Output = Extract<MineConfig["output"], string>;

const FORMATS: Readonly<Record<Output, (options: Options, tag: string) => readonly MinedFormat[]>> = {
  qrels: ({ scores }) => (scores ? [ids.qrels, ids.scoredPositives] : [ids.qrels]),
  triples: () => [ids.triples],
  "grouped-jsonl": () => [ids.groupedJsonl],
  run: (_, tag) => [ids.run(tag)],
  tevatron: ({ scores }) => [training.tevatron(scores)],
  flagembedding: ({ scores }) => [training.flagEmbedding(scores)],
  triplet: ({ scores }) => [training.triplet(scores)],
  "n-tuple": ({ scores, negativesPerQuery }) => [training.nTuple(scores, negativesPerQuery)],
  "labeled-pair": ({ scores }) => [training.labeledPair(scores)],
  "labeled-list": ({ scores }) => [training.labeledList(scores)],
};

/** Everything that is to be written; `tag` names runs, `retrievers` are named where there are several. */
export function formatsOf(options: Options, tag: string, retrievers: readonly string[] = []): MinedFormat[] {
  const asked = [...new Set([options.output].flat())].flatMap((name) => FORMATS[name](options, tag));
  return retrievers.length > 1 ? [...asked, ids.origins(retrievers)] : asked;
}
