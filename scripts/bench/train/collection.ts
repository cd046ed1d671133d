/** Writes collections whose texts have so many tokens, and whose queries share no passage. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LineFile } from "../data/line-file.js";

/** Passages of a query: its positive and two negatives. */
export const PER_QUERY = 3;
/** More words than this a tokeniser's cache would not see in real text either. */
const WORDS = 4_000;

/** What a collection holds. */
export interface CollectionOptions {
  readonly folder: string;
  readonly passages: number;
  /** Words of a passage and of a query; each word is one token of BERT's. */
  readonly passageWords: number;
  readonly queryWords: number;
  /**
   * Deviation of the logarithm of a text's length, of which the words above are then the median, and a third of the most;
   * default 0: all texts are equally long. Web passages are near 0.4.
   */
  readonly spread?: number;
  /** A model folder with vocab.txt, where the words come from. */
  readonly model: string;
}

/**
 * Writes corpus.jsonl, queries.jsonl, qrels/train.tsv and negatives.tsv. Query q owns passages 3q (relevant), 3q + 1 and
 * 3q + 2: no batch of an epoch then holds a text twice, so nothing has to be masked, which only some trainers do.
 */
export function writeCollection(options: CollectionOptions): void {
  const { folder, passages, passageWords, queryWords, spread = 0, model } = options;
  mkdirSync(join(folder, "qrels"), { recursive: true });
  const words = readFileSync(join(model, "vocab.txt"), "utf8")
    .split("\n")
    .filter((word) => /^[a-z]{3,10}$/.test(word))
    .slice(0, WORDS);
  let state = 1;
  const draw = (): number => {
    // Xorshift: the same texts on every machine.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  const lengthOf = (typical: number): number => {
    if (spread === 0) return typical;
    // Box and Muller's way from two uniform numbers to a normal one.
    const [one, two] = [(draw() + 1) / 2 ** 32, draw() / 2 ** 32];
    const normal = Math.sqrt(-2 * Math.log(one)) * Math.cos(2 * Math.PI * two);
    return Math.max(1, Math.round(typical * Math.min(3, Math.exp(spread * normal))));
  };
  const text = (count: number): string => {
    let made = "";
    for (let at = 0; at < count; at += 1) made += `${at === 0 ? "" : " "}${words[draw() % words.length]}`;
    return made;
  };
  const writeTexts = (name: string, count: number, length: number): void => {
    const file = new LineFile(join(folder, name));
    for (let id = 0; id < count; id += 1) {
      file.ascii(`{"_id": "${id}", "title": "", "text": "${text(lengthOf(length))}"}\n`);
      file.endLine();
    }
    file.close();
  };
  const queries = Math.floor(passages / PER_QUERY);
  writeTexts("corpus.jsonl", passages, passageWords);
  writeTexts("queries.jsonl", queries, queryWords);
  const [relevant, negative] = ["qrels/train.tsv", "negatives.tsv"].map((name) => new LineFile(join(folder, name)));
  for (const file of [relevant, negative]) file?.ascii("query-id\tcorpus-id\tscore\n");
  for (let query = 0; query < queries; query += 1) {
    for (let place = 0; place < PER_QUERY; place += 1) {
      const file = place === 0 ? relevant : negative;
      file?.ascii(`${query}\t${query * PER_QUERY + place}\t1\n`);
      file?.endLine();
    }
  }
  relevant?.close();
  negative?.close();
}
