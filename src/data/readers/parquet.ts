/**
 * Reads passages, queries, judgements and query ids from Parquet, under the names that JSON has them under. The line of a
 * record is its row, from 1. Ids are strings or whole numbers: int32 and int64 columns hold exact numbers, unlike JSON, so
 * theirs are taken as decimal strings; columns of fractions are refused.
 */
import { isUtf8 } from "node:buffer";
import { inspect } from "node:util";
import { QuarryError } from "../../errors.js";
import { fileError } from "../failures.js";
import { putExtras } from "./extras.js";
import { FIRST_EXTRA, listNames, listSeen, type WantedField, wantedFields } from "./field-names.js";
import type { InputFile } from "./input.js";
import { type ParquetColumn, readRowGroups } from "./parquet-file.js";
import type { Format, Role, SourceFile, Span } from "./reader.js";
import { isGoodId, newIdRecord, newJudgementRecord, newTextRecord, pointTo, putText } from "./records.js";

const ID = { types: ["BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY", "INT32", "INT64"], words: "strings or whole numbers" };
const TEXT = { types: ["BYTE_ARRAY"], words: "strings" };
const SCORE = { types: ["INT32", "INT64", "FLOAT", "DOUBLE"], words: "numbers" };
const EXTRA = { types: ["BYTE_ARRAY", "BOOLEAN", ...SCORE.types], words: "strings, numbers or booleans" };
/** Physical types that a field's column may have. */
const ALLOWED = { id: ID, query: ID, passage: ID, title: TEXT, text: TEXT, prompt: TEXT, score: SCORE, extra: EXTRA };

export const parquet: Format = {
  name: "parquet",
  version: 1,
  options: ["fields", "extras"],
  matches: (sample) => sample.name.endsWith(".parquet"),
  readTexts(input, file, role, onRecord) {
    const record = newTextRecord();
    const extras = file.extras ?? [];
    return readTable(input, file, role, (cells) => {
      record.line = cells.line;
      if (!cells.takeId(0, record.id)) return;
      if (!cells.takeText(1, record.text) || !cells.takeText(2, record.title)) return;
      if (!cells.takeText(3, record.prompt)) return;
      if (extras.length > 0) putExtras(record.extras, extras, (index) => cells.jsonOf(FIRST_EXTRA + index));
      onRecord(record);
    });
  },
  readJudgements(input, file, onRecord) {
    const record = newJudgementRecord();
    return readTable(input, file, "qrels", (cells) => {
      record.line = cells.line;
      if (!cells.takeId(0, record.query) || !cells.takeId(1, record.passage)) return;
      record.score = cells.takeScore(2);
      if (!Number.isNaN(record.score)) onRecord(record);
    });
  },
  readIds(input, file, onRecord) {
    const record = newIdRecord();
    return readTable(input, file, "ids", (cells) => {
      record.line = cells.line;
      if (cells.takeId(0, record.id)) onRecord(record);
    });
  },
};

async function readTable(input: InputFile, file: SourceFile, role: Role, onRow: (cells: Cells) => void): Promise<void> {
  if (input.path.toLowerCase().endsWith(".gz")) {
    throw new QuarryError("CONFIG", `${input.path}: Parquet cannot be read from within gzip.`, {
      hint: "Unpack the file with gunzip; its columns are compressed anyway.",
    });
  }
  const wanted = wantedFields(file, role);
  const cells = new Cells(input, wanted);
  const choose = (columns: readonly ParquetColumn[]): readonly string[] => {
    const found = wanted.map((field) => columnOf(input.path, field, columns));
    const names = found.flatMap((column) => (column === null ? [] : [column.name]));
    cells.places = found.map((column) => (column === null ? -1 : names.indexOf(column.name)));
    return names;
  };
  await readRowGroups(input, choose, ({ firstRow, rowCount, columns }) => {
    cells.columns = columns;
    for (let row = 0; row < rowCount; row += 1) {
      cells.row = row;
      cells.line = firstRow + row + 1;
      onRow(cells);
    }
  });
}

/** Null where an optional one is missing. */
function columnOf(path: string, wanted: WantedField, columns: readonly ParquetColumn[]): ParquetColumn | null {
  const { field, what, names, isNeeded } = wanted;
  const found = columns.filter(({ name }, index) => names.includes(name) || names.includes(index));
  const seen = listSeen(columns.map(({ name }) => name));
  const hint =
    field === "extra"
      ? "Correct the name in extras, or leave it out."
      : `Name the column with the option fields, e.g. { path, fields: { ${field}: ${JSON.stringify(found[0]?.name ?? "…")} } }.`;
  if (found.length > 1) {
    const claims = found.map(({ name }) => JSON.stringify(name)).join(" and ");
    throw fileError(path, `${claims} may each be the ${what}. Columns of the file: ${seen}.`, hint);
  }
  const [column] = found;
  if (column === undefined) {
    if (!isNeeded && field !== "extra") return null;
    throw fileError(path, `no ${what}: no column ${listNames(wanted)}. Columns of the file: ${seen}.`, hint);
  }
  const allowed = ALLOWED[field];
  const type = column.isNested ? "lists or structs" : (column.leaves[0]?.type ?? "");
  if (allowed.types.includes(type)) return column;
  throw fileError(
    path,
    `the column ${JSON.stringify(column.name)} holds ${type}, but a ${what} is one of ${allowed.words}.`,
    allowed === ID && !column.isNested ? "Write the ids as strings or as int64: fractions lose digits." : hint,
  );
}

/** The cells of one row; what cannot be read is the row's fault. */
class Cells {
  line = 0;
  row = 0;
  columns: readonly ArrayLike<unknown>[] = [];
  /** For each wanted field the place of its column, or -1. */
  places: readonly number[] = [];

  constructor(
    private readonly input: InputFile,
    private readonly wanted: readonly WantedField[],
  ) {}

  takeId(field: number, target: Span): boolean {
    const value = this.#value(field);
    if (typeof value === "bigint" || (typeof value === "number" && Number.isSafeInteger(value))) {
      putText(target, String(value));
      return true;
    }
    return this.#takeBytes(field, value, target) && isGoodId(target, this.#what(field), this.input, this.line);
  }

  /** Optional ones are empty where they are null. */
  takeText(field: number, target: Span): boolean {
    const value = this.#value(field);
    if (value === null && (this.wanted[field] as WantedField).field !== "text") {
      target.start = target.end = 0;
      return true;
    }
    return this.#takeBytes(field, value, target);
  }

  /** A value as JSON, dates as ISO texts, or null where there is none; what JSON has no word for counts as none. */
  jsonOf(field: number): string | null {
    const value = this.#value(field);
    if (value instanceof Uint8Array) return isUtf8(value) ? JSON.stringify(Buffer.from(value).toString("utf8")) : null;
    if (typeof value === "bigint" || typeof value === "boolean") return String(value);
    if (value instanceof Date) return Number.isNaN(value.valueOf()) ? null : JSON.stringify(value);
    return typeof value === "number" && Number.isFinite(value) ? String(value) : null;
  }

  /** NaN when it is none and that was reported. */
  takeScore(field: number): number {
    const value = this.#value(field);
    const score = typeof value === "bigint" || typeof value === "number" ? Math.fround(Number(value)) : Number.NaN;
    if (Number.isFinite(score)) return score;
    this.#refuse(field, value === null ? "is null" : `is no finite number: ${shown(value)}`);
    return Number.NaN;
  }

  #value(field: number): unknown {
    const place = this.places[field] as number;
    return place === -1 ? null : (this.columns[place]?.[this.row] ?? null);
  }

  #takeBytes(field: number, value: unknown, target: Span): boolean {
    if (!(value instanceof Uint8Array)) {
      this.#refuse(field, value === null ? "is null" : `is no string: ${shown(value)}`);
      return false;
    }
    if (!isUtf8(value)) {
      this.#refuse(field, "is not valid UTF-8");
      return false;
    }
    pointTo(target, value, 0, value.byteLength);
    return true;
  }

  #what(field: number): string {
    return (this.wanted[field] as WantedField).what;
  }

  #refuse(field: number, why: string): void {
    this.input.fault(this.line, `the ${this.#what(field)} ${why}.`, "Write the file again without such rows.");
  }
}

function shown(value: unknown): string {
  return inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY }).slice(0, 60);
}
