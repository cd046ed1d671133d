/** Turns a user's reader into a format: what it gives is checked value by value, with file and line. */
import { QuarryError } from "../../errors.js";
import { dataError, fileError } from "../failures.js";
import { putExtras } from "./extras.js";
import type { InputFile } from "./input.js";
import { lineTexts } from "./lines.js";
import type { Format, Role, Sample, Span } from "./reader.js";
import { isGoodId, newIdRecord, newJudgementRecord, newTextRecord, putText, shorten } from "./records.js";
import type { ReaderFile, ReaderId, ReaderJudgement, ReaderOptions, ReaderText } from "./registry.js";

/** The format of a registered reader; its version holds the hash of its source. */
export function registeredFormat(reader: ReaderOptions & { readonly version: string }): Format {
  const { name, version, texts, judgements, ids } = reader;
  return {
    name,
    version,
    hasPrompts: texts !== undefined,
    options: ["extras"],
    matches: (sample, _role, { path }) => isMatch(reader, sample, path),
    ...(texts && {
      async readTexts(input, { extras: names = [] }, role, onRecord) {
        const record = newTextRecord();
        const fill = (value: ReaderText, checks: Checks): boolean => {
          const { id, text, title, prompt, extras } = value;
          if (!checks.putId(record.id, id, "id") || !checks.putText(record.text, text, "text")) return false;
          if (!checks.putText(record.title, title ?? "", "title")) return false;
          if (!checks.putText(record.prompt, prompt ?? "", "prompt")) return false;
          if (names.length > 0) {
            putExtras(record.extras, names, (index) => jsonOf(extras?.[names[index] as string]));
          }
          record.line = checks.line;
          return true;
        };
        await readAll(reader, input, role, texts, fill, () => onRecord(record));
      },
    }),
    ...(judgements && {
      async readJudgements(input, _file, onRecord) {
        const record = newJudgementRecord();
        const fill = (value: ReaderJudgement, checks: Checks): boolean => {
          const { queryId, passageId, score } = value;
          if (!checks.putId(record.query, queryId, "queryId")) return false;
          if (!checks.putId(record.passage, passageId, "passageId")) return false;
          record.score = typeof score === "number" ? Math.fround(score) : Number.NaN;
          record.line = checks.line;
          if (Number.isFinite(record.score)) return true;
          return checks.refuse(`score is no finite number: ${shown(score)}`, "Give a number.");
        };
        await readAll(reader, input, "qrels", judgements, fill, () => onRecord(record));
      },
    }),
    ...(ids && {
      async readIds(input, _file, onRecord) {
        const record = newIdRecord();
        const fill = (value: ReaderId, checks: Checks): boolean => {
          record.line = checks.line;
          return checks.putId(record.id, typeof value === "string" ? value : value.id, "id");
        };
        await readAll(reader, input, "ids", ids, fill, () => onRecord(record));
      },
    }),
  };
}

function isMatch({ name, matches }: ReaderOptions, sample: Sample, path: string): boolean {
  try {
    return matches?.(sample.name, sample.head.toString("utf8")) === true;
  } catch (thrown) {
    throw new QuarryError("CONFIG", `${path}: the function matches of the reader ${name} failed: ${reasonOf(thrown)}`, {
      hint: "It is asked about every file that names no format: let it give false for those that are not its own.",
      cause: thrown,
    });
  }
}

/** A value as JSON; null for none, and for what JSON has no word for. */
function jsonOf(value: unknown): string | null {
  const json: string | undefined = JSON.stringify(value);
  return json === undefined || json === "null" ? null : json;
}

/** Checks one value that a reader gave. */
class Checks {
  line = 0;

  constructor(
    private readonly name: string,
    private readonly input: InputFile,
  ) {}

  refuse(what: string, hint: string): false {
    this.input.fault(this.line, `the reader ${this.name} gave a record whose ${what}`, hint);
    return false;
  }

  putText(target: Span, value: unknown, field: string): boolean {
    if (typeof value !== "string") return this.refuse(`${field} is no string: ${shown(value)}`, "Give a string.");
    if (/\p{Surrogate}/u.test(value)) {
      return this.refuse(`${field} holds half a character (a lone surrogate)`, "Cut texts at whole characters.");
    }
    putText(target, value);
    return true;
  }

  putId(target: Span, value: unknown, field: string): boolean {
    const hint = "Ids are strings; a number changes beyond 2^53.";
    if (typeof value !== "string") return this.refuse(`${field} is no string: ${shown(value)}`, hint);
    if (!this.putText(target, value, field)) return false;
    return isGoodId(target, `${field} that the reader ${this.name} gave`, this.input, this.line);
  }
}

/**
 * Goes through all that a reader gives; its own failures, those of a value's getters among them, become errors with the
 * place it had come to.
 *
 * @param fill checks a value and puts it into the record that `give` hands on; false where it was refused
 */
async function readAll<T extends { readonly line?: number | undefined } | string>(
  reader: { readonly name: string },
  input: InputFile,
  role: Role,
  read: (file: ReaderFile) => AsyncIterable<T> | Iterable<T>,
  fill: (value: T, checks: Checks) => boolean,
  give: () => void,
): Promise<void> {
  const checks = new Checks(reader.name, input);
  let lineGiven = 0;
  let count = 0;
  let isReading = false;
  let isOurs = false;
  const file: ReaderFile = {
    path: input.path,
    role,
    async *lines() {
      for await (const line of lineTexts(input)) {
        lineGiven = line.line;
        yield line;
      }
    },
    bytes: () => wholeBytes(input),
  };
  try {
    for await (const value of iterable(read.call(reader, file), reader.name)) {
      count += 1;
      checks.line = lineGiven > 0 ? lineGiven : count;
      isReading = true;
      const isRecord = typeof value === "string" || (typeof value === "object" && value !== null);
      const own: unknown = isRecord && typeof value === "object" ? value.line : undefined;
      if (typeof own === "number") checks.line = own;
      if (own !== undefined && !(Number.isInteger(own) && (own as number) > 0)) {
        checks.refuse(`line is no whole number from 1: ${shown(own)}`, "Leave it out, or count from 1.");
      } else if (!isRecord) {
        input.fault(checks.line, `the reader ${reader.name} gave no record: ${shown(value)}`, "Give objects.");
      } else if (fill(value, checks)) {
        isOurs = true;
        give();
        isOurs = false;
      }
      isReading = false;
    }
  } catch (thrown) {
    // What the reading of the file, the checks and whoever takes the records throw says what it means.
    if (isOurs || thrown instanceof QuarryError) throw thrown;
    const line = isReading ? checks.line : Math.max(lineGiven, 1);
    const message = `the reader ${reader.name} failed: ${reasonOf(thrown)}`;
    throw dataError(input.path, line, message, "Mend the reader or the file.", thrown);
  }
}

function reasonOf(thrown: unknown): string {
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return shorten(reason.replaceAll(/\s+/g, " "), 200);
}

function iterable<T>(given: AsyncIterable<T> | Iterable<T>, name: string): AsyncIterable<T> | Iterable<T> {
  const isIterable =
    typeof given === "object" && given !== null && (Symbol.asyncIterator in given || Symbol.iterator in given);
  if (isIterable) return given;
  throw new QuarryError("CONFIG", `The reader ${name} gave nothing to go through.`, {
    hint: "Its functions give an iterable of records, e.g. as async *texts(file) { … yield … }.",
  });
}

async function* wholeBytes(input: InputFile): AsyncGenerator<Uint8Array> {
  let fault: string | null = null;
  yield* input.chunks((reason) => (fault = reason));
  if (fault !== null) throw fileError(input.path, `${fault as string}.`, "Fetch or compress the file again.");
}

function shown(value: unknown): string {
  return shorten(typeof value === "string" ? JSON.stringify(value) : String(value));
}
