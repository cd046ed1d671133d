/** The formats that can be read; a new one is a file of its own and a line here. */
import { QuarryError } from "../../errors.js";
import { beirQrels } from "./beir-qrels.js";
import { beirTexts } from "./beir-texts.js";
import type { JudgementReader, RecordReader, TextReader } from "./reader.js";

const textReaders: readonly TextReader[] = [beirTexts];
const judgementReaders: readonly JudgementReader[] = [beirQrels];

/** The reader of a file of passages or queries, by the ending of its name. */
export function textReaderOf(path: string): TextReader {
  return readerOf(textReaders, path, "passages and queries");
}

/** The reader of a file of judgements, by the ending of its name. */
export function judgementReaderOf(path: string): JudgementReader {
  return readerOf(judgementReaders, path, "judgements");
}

function readerOf<Record>(readers: readonly RecordReader<Record>[], path: string, what: string): RecordReader<Record> {
  const name = path.replace(/\.gz$/, "").toLowerCase();
  const reader = readers.find(({ endings }) => endings.some((ending) => name.endsWith(ending)));
  if (reader !== undefined) return reader;
  const known = readers.flatMap(({ endings }) => endings).join(", ");
  throw new QuarryError("CONFIG", `${path}: no reader for this kind of file.`, {
    hint: `Files of ${what} end in ${known}, each also with .gz.`,
  });
}
