/** The formats that mined negatives are written in, by the names that the option `mine.output` gives them. */
import type { MineConfig } from "../../../experiment/schema.js";
import type { MinedFormat } from "./entry.js";
import * as ids from "./ids.js";
import * as training from "./training.js";

type Options = Pick<MineConfig, "output" | "scores" | "negativesPerQuery"> & Partial<Pick<MineConfig, "rescore">>;
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

/**
 * Everything that is to be written; `tag` names runs. Where the scores written are not a single retriever's, a file
 * beside them has what each of these retrievers said.
 */
export function formatsOf(options: Options, tag: string, retrievers: readonly string[] = []): MinedFormat[] {
  const asked = [...new Set([options.output].flat())].flatMap((name) => FORMATS[name](options, tag));
  const isOneScale = retrievers.length < 2 && options.rescore === undefined;
  return isOneScale ? asked : [...asked, ids.origins(retrievers)];
}
