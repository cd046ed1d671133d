/** A file of judgements by itself, without corpus and queries: for scoring runs that somebody else made. */
import { QuarryError } from "../../errors.js";
import { dataError, fileError } from "../failures.js";
import { formatOf } from "../readers/formats.js";
import { InputFile } from "../readers/input.js";
import { decode } from "../readers/json-line.js";
import { asFile } from "../source-files.js";
import { unfitness } from "./grades.js";

/** A judgement with its relevance level. */
export interface PlainJudgement {
  readonly queryId: string;
  readonly passageId: string;
  readonly grade: number;
}

/**
 * Reads judgements in any format that the data plane knows, unless the file is in TREC format already.
 *
 * @param path absolute
 * @returns null for TREC qrels, plain or packed; else the judgements in file order, where a pair that is judged again
 * counts with its last grade
 * @throws QuarryError CONFIG or DATA with file and line.
 */
export async function plainJudgements(path: string, signal?: AbortSignal): Promise<PlainJudgement[] | null> {
  const file = asFile(path);
  const format = await formatOf(file, "qrels");
  if (format.name === "trec-qrels") return null;
  if (format.name === "trec-run") {
    throw new QuarryError("CONFIG", `${path}: holds a run, but judgements were expected.`, {
      hint: "The run comes first, the judgements second.",
    });
  }
  const found: PlainJudgement[] = [];
  // A map of its own for each query: one of all pairs would end at 16,777,216.
  const places = new Map<string, Map<string, number>>();
  await format.readJudgements?.(new InputFile(path, { signal }), file, ({ query, passage, score, line }) => {
    const fault = unfitness(score);
    if (fault !== null) throw dataError(path, line, `${fault}.`, "Write judgements as small whole numbers.");
    const judgement = { queryId: decode(query), passageId: decode(passage), grade: score };
    const known = places.get(judgement.queryId) ?? new Map<string, number>();
    if (known.size === 0) places.set(judgement.queryId, known);
    const place = known.get(judgement.passageId) ?? found.length;
    known.set(judgement.passageId, place);
    found[place] = judgement;
  });
  if (found.length === 0) throw fileError(path, "holds no judgements.", "Give a file with at least one judgement.");
  return found;
}
