/** Makes a format of a training file's shape, in JSON lines or Parquet: passages, queries, judgements and query ids. */
import { QuarryError } from "../../../errors.js";
import type { InputFile } from "../input.js";
import { readElements } from "../json-elements.js";
import { JsonFault } from "../json-line.js";
import { type LineHandler, readLines } from "../lines.js";
import { columnsOf } from "../parquet-file.js";
import type { FileOption, Format, JudgementRecord, Role, Sample, SourceFile, TextRecord } from "../reader.js";
import { newIdRecord, newJudgementRecord, newTextRecord, putText } from "../records.js";
import { takeSample } from "../sample.js";
import { contentId, Fields, ShapeFault, type TrainingLine } from "./line.js";
import { type Opening, openingOf } from "./opening.js";
import { readParquetLines } from "./parquet-lines.js";
import { parseStrictly } from "./strict-json.js";

/** What one kind of training file looks like. */
export interface Shape {
  readonly name: string;
  readonly version: number;
  readonly hasPrompts?: boolean;
  /** What the keys of the option `fields` stand for: the shape's own name of that field. */
  readonly renames: Readonly<Record<string, string>>;
  /** The keys that it reads, at the top of a line. */
  readonly keys: RegExp;
  matches(opening: Opening, role: Role): boolean;
  /** @throws ShapeFault */
  read(line: Fields): TrainingLine;
  /** Reads a line that is a list, where such lines are in use. @throws ShapeFault */
  readList?(line: readonly unknown[]): TrainingLine;
}

const OPTIONS: readonly FileOption[] = ["fields", "part", "scores"];

/** Takes each line of a file that could be read. */
export type LineTaker = (line: TrainingLine, number: number) => void;

/** The format of a shape. */
export function trainingFormat(shape: Shape): Format {
  const readAll = (input: InputFile, file: SourceFile, onLine: LineTaker): Promise<void> => {
    if (!isParquet(file.path)) return readJsonLines(input, file, shape, onLine);
    const onFault = (line: number, thrown: unknown): void => reportFault(input, line, shape.name, thrown);
    return readParquetLines(input, file, shape, lineReader(shape, file, true), onLine, onFault);
  };
  return {
    name: shape.name,
    version: shape.version,
    options: OPTIONS,
    mayRepeat: true,
    hasPrompts: shape.hasPrompts === true && "queries",
    matches(sample, role, file) {
      const opening = isParquet(sample.name) ? columnOpening(file.path) : jsonOpening(sample);
      return opening !== null && shape.matches(opening, role);
    },
    readTexts: (input, file, role, onRecord) =>
      readAll(input, file, role === "corpus" ? passagesOf(file, onRecord) : queriesOf(input, onRecord)),
    readJudgements: (input, file, onRecord) => readAll(input, file, judgementsOf(input, file, onRecord)),
    readIds: (input, file, onRecord) => {
      const record = newIdRecord();
      return readAll(input, file, (line, number) => {
        record.line = number;
        putText(record.id, queryIdOf(line));
        onRecord(record);
      });
    },
  };
}

function isParquet(path: string): boolean {
  return path.toLowerCase().endsWith(".parquet");
}

function columnOpening(path: string): Opening | null {
  const columns = columnsOf(path);
  return columns === null ? null : { kind: "object", keys: new Set(columns.map(({ name }) => name)) };
}

function jsonOpening(sample: Sample): Opening | null {
  return /\.(json|jsonl|ndjson)$/.test(sample.name) ? openingOf(sample.head) : null;
}

/**
 * Makes a line of an object's fields.
 *
 * @throws ShapeFault
 * @throws QuarryError CONFIG for options that the shape does not know.
 */
function lineReader(
  shape: Shape,
  file: SourceFile,
  isTyped: boolean,
): (values: Readonly<Record<string, unknown>>) => TrainingLine {
  const renamed = Object.entries(file.fields ?? {}).map(([field, name]) => {
    const own = shape.renames[field];
    if (own !== undefined && typeof name === "string") return [own, name] as const;
    const reason = own === undefined ? "names nothing that it has" : "is a number, but its fields have names";
    throw new QuarryError("CONFIG", `${file.path}: the format ${shape.name}: fields.${field} ${reason}.`, {
      hint: `Here fields may name ${Object.keys(shape.renames).join(", ")}, each by its key.`,
    });
  });
  return (values) => {
    if (renamed.length === 0) return shape.read(new Fields(values, isTyped));
    const others = Object.entries(values).filter(([name]) => !renamed.some((pair) => pair.includes(name)));
    const chosen = renamed.map(([own, name]) => [own, values[name]] as const);
    return shape.read(new Fields(Object.fromEntries([...others, ...chosen]), isTyped));
  };
}

async function readJsonLines(input: InputFile, file: SourceFile, shape: Shape, onLine: LineTaker): Promise<void> {
  const fromObject = lineReader(shape, file, false);
  const takeValue: LineHandler = (bytes, start, end, number) => {
    let line: TrainingLine;
    try {
      const value = parseStrictly(bytes, start, end);
      if (Array.isArray(value) && shape.readList !== undefined) line = shape.readList(value as unknown[]);
      else if (typeof value === "object" && value !== null && !Array.isArray(value)) {
        line = fromObject(value as Record<string, unknown>);
      } else throw new JsonFault("a JSON object was expected", 1);
    } catch (thrown) {
      return reportFault(input, number, shape.name, thrown);
    }
    onLine(line, number);
  };
  const isOneList = openingOf(takeSample(file.path).head)?.kind === "elements";
  await (isOneList ? readElements(input, takeValue) : readLines(input, takeValue));
}

/** Tells of a line that cannot be read; everything else is thrown on. */
function reportFault(input: InputFile, line: number, format: string, thrown: unknown): void {
  if (thrown instanceof ShapeFault) input.fault(line, thrown.message, thrown.hint);
  else if (thrown instanceof JsonFault) {
    const hint = `The file is read as ${format}: one JSON value a line. Name another format with { path, format }.`;
    input.fault(line, `column ${thrown.column}: ${thrown.message}.`, hint);
  } else throw thrown;
}

function passagesOf(file: SourceFile, onRecord: (record: TextRecord) => void): LineTaker {
  const record = newTextRecord();
  return ({ passages }, line) => {
    record.line = line;
    for (const { id, title, text } of passages) {
      if (text === null) {
        throw new QuarryError(
          "CONFIG",
          `${file.path}:${line}: the file names passages by their ids; texts it has none.`,
          {
            hint: "Name the corpus that the ids belong to as corpus, and this file as queries and qrels only.",
          },
        );
      }
      putText(record.id, id ?? contentId("p", title, text));
      putText(record.title, title);
      putText(record.text, text);
      onRecord(record);
    }
  };
}

function queriesOf(input: InputFile, onRecord: (record: TextRecord) => void): LineTaker {
  const record = newTextRecord();
  return (line, number) => {
    if (line.query === null) {
      return input.fault(number, "the query has no text.", "Name a file with the texts of the queries as queries.");
    }
    record.line = number;
    putText(record.id, queryIdOf(line));
    putText(record.text, line.query);
    putText(record.prompt, line.prompt);
    onRecord(record);
  };
}

function judgementsOf(input: InputFile, file: SourceFile, onRecord: (record: JudgementRecord) => void): LineTaker {
  const record = newJudgementRecord();
  const wantsTeacher = file.scores === "teacher";
  let hasScores = false;
  return (line, number) => {
    const chosen = line.passages.filter(
      ({ label }) => file.part === "all" || label > 0 === (file.part === "positives"),
    );
    if (wantsTeacher && chosen.some(({ score }) => score === null)) {
      const message = "not every passage has a score of a teacher beside it";
      const hint = 'Set scores to "labels", or take a file with a score for each passage.';
      if (!hasScores) {
        throw new QuarryError("CONFIG", `${file.path}:${number}: scores is "teacher", but ${message}.`, { hint });
      }
      return input.fault(number, `${message}.`, hint);
    }
    if (chosen.length === 0) return;
    hasScores = true;
    record.line = number;
    putText(record.query, queryIdOf(line));
    for (const { id, title, text, label, score } of chosen) {
      putText(record.passage, id ?? contentId("p", title, text ?? ""));
      record.score = Math.fround(wantsTeacher && score !== null ? score : label);
      onRecord(record);
    }
  };
}

function queryIdOf({ queryId, query, prompt }: TrainingLine): string {
  return queryId ?? contentId("q", prompt, query ?? "");
}
