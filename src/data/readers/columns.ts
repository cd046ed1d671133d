/** Makes records of cells: tells headers, finds columns by name or number, checks what stands in them. */
import { QuarryError } from "../../errors.js";
import { dataError } from "../failures.js";
import { type CellCutter, type Cells, cellText, cellTexts } from "./cells.js";
import { listNames, listSeen, usualFields, type WantedField, wantedFields } from "./field-names.js";
import type { InputFile } from "./input.js";
import type { Role, SourceFile, Span } from "./reader.js";
import { isGoodId, pointTo, readScore, shorten } from "./records.js";

/** Which columns a file without header has: for each number of them, the column of each wanted field (-1: none). */
export interface Layout {
  /** By number of columns; 0 stands for any number. */
  readonly byCount: Readonly<Record<number, readonly number[]>>;
  /** What messages say was expected. */
  readonly expected: string;
}

/** The columns of one file in one role; `accept` is called with each record. */
export class Columns {
  /** The column of each wanted field, or -1; empty until the first record came. */
  #columns: readonly number[] = [];
  readonly #wanted: readonly WantedField[];
  #count = 0;
  #isFirst = true;

  constructor(
    private readonly input: InputFile,
    private readonly file: SourceFile,
    private readonly role: Role,
    private readonly layout: Layout,
  ) {
    this.#wanted = wantedFields(file, role);
  }

  /**
   * Whether this is a record whose columns are known: false for the header and for what has another number of them.
   *
   * @throws QuarryError DATA when the header lacks a column, CONFIG when the options ask for what cannot be there.
   */
  accept(cells: Cells, line: number): boolean {
    if (this.#isFirst) {
      this.#isFirst = false;
      if (this.#isHeader(cells)) {
        this.#columns = this.#byHeader(cellTexts(cells), line);
        this.#count = cells.count;
        return false;
      }
    }
    if (this.#columns.length === 0 && !this.#byPlace(cells.count)) return this.#refuseCount(cells, line);
    return this.#count === 0 || cells.count === this.#count || this.#refuseCount(cells, line);
  }

  /** Points `target` at the cell of a wanted field; at nothing where there is no such column. */
  takeText(cells: Cells, slot: number, target: Span): void {
    const column = this.#columns[slot] as number;
    if (column === -1) target.start = target.end = 0;
    else pointTo(target, cells.bytes, cells.starts[column] as number, cells.ends[column] as number);
  }

  /** A cell as a JSON string, or null where it is empty. */
  jsonOf(cells: Cells, slot: number): string | null {
    const text = cellText(cells, this.#columns[slot] as number);
    return text === "" ? null : JSON.stringify(text);
  }

  /** Points `target` at an id, if it is one. */
  takeId(cells: Cells, slot: number, target: Span, line: number): boolean {
    this.takeText(cells, slot, target);
    return isGoodId(target, (this.#wanted[slot] as WantedField).what, this.input, line);
  }

  /** A score, or NaN when it is none and that was reported. */
  takeScore(cells: Cells, slot: number, line: number): number {
    const column = this.#columns[slot] as number;
    const score = readScore(cells.bytes, cells.starts[column] as number, cells.ends[column] as number);
    if (Number.isNaN(score)) {
      const seen = JSON.stringify(shorten(cellText(cells, column)));
      this.input.fault(line, `the score ${seen} is no number.`, `Expected: ${this.layout.expected}.`);
    }
    return score;
  }

  #isHeader(cells: Cells): boolean {
    if (this.file.header !== undefined) return this.file.header;
    if (this.#wanted.some(({ names, isChosen }) => isChosen && typeof names[0] === "string")) return true;
    return looksLikeHeader(cellTexts(cells), this.role);
  }

  #byHeader(header: readonly string[], line: number): number[] {
    const { path } = this.input;
    return this.#wanted.map((wanted): number => {
      const { field, names, what, isNeeded, isChosen } = wanted;
      const [first] = names;
      if (typeof first === "number") {
        if (first < header.length) return first;
        throw dataError(path, line, `column ${first} for the ${what}: there are ${header.length}.`, "Count from 0.");
      }
      const isIt = isChosen ? (name: string) => names.includes(name) : (name: string) => isOneOf(name, names);
      const found = header.flatMap((name, index) => (isIt(name.trim()) ? [index] : []));
      if (found.length === 1) return found[0] as number;
      if (found.length === 0 && !isNeeded && field !== "extra") return -1;
      const seen = listSeen(header.map((name) => JSON.stringify(shorten(name))));
      const message =
        found.length === 0
          ? `no column for the ${what}: none is called ${listNames(wanted)}. Columns: ${seen}.`
          : `${found.length} columns may be the ${what}. Columns: ${seen}.`;
      if (field === "extra") throw dataError(path, line, message, "Correct the name in extras, or leave it out.");
      throw dataError(
        path,
        line,
        message,
        `Name or number the column with the option fields, e.g. { path, fields: { ${field}: 0 } }; files without header: header: false.`,
      );
    });
  }

  /** Takes the columns of a file without header from its first record; false when it has another number of them. */
  #byPlace(count: number): boolean {
    const chosen = this.#wanted.filter(({ isChosen }) => isChosen);
    for (const { field, names } of chosen) {
      if (typeof names[0] === "number") continue;
      if (field === "extra") {
        throw new QuarryError("CONFIG", `${this.input.path}: extras names ${names[0]}, but header is false.`, {
          hint: "Columns are found by the names in a header.",
        });
      }
      throw new QuarryError("CONFIG", `${this.input.path}: fields.${field} is a name, but header is false.`, {
        hint: "Give the number of the column, counted from 0.",
      });
    }
    if (chosen.length === 0) {
      const columns = this.layout.byCount[count] ?? this.layout.byCount[0];
      if (columns === undefined) return false;
      this.#columns = columns;
      this.#count = this.layout.byCount[count] === undefined ? 0 : count;
      return true;
    }
    const missing = this.#wanted.find(({ isNeeded, isChosen }) => isNeeded && !isChosen);
    if (missing !== undefined) {
      throw new QuarryError("CONFIG", `${this.input.path}: fields does not say which column is the ${missing.what}.`, {
        hint: `The file has no header: add the number of the column, fields: { ${missing.field}: … }.`,
      });
    }
    const columns = this.#wanted.map(({ names }) => (names[0] as number | undefined) ?? -1);
    if (Math.max(...columns) >= count) return false;
    this.#columns = columns.map((column, slot) => (this.#wanted[slot]?.isChosen === true ? column : -1));
    this.#count = count;
    return true;
  }

  #refuseCount(cells: Cells, line: number): false {
    const columns = `${cells.count} ${cells.count === 1 ? "column" : "columns"}`;
    const expected = this.#count === 0 ? this.layout.expected : `${this.#count} as in the first line`;
    const begin = cells.count === 0 ? "" : `, the first one ${JSON.stringify(shorten(cellText(cells, 0), 30))}`;
    const numbered = this.#wanted.filter(({ isNeeded }) => isNeeded).map(({ field }, column) => `${field}: ${column}`);
    this.input.fault(
      line,
      `${columns}${begin}; expected: ${expected}.`,
      `Mend the line, or number the columns with the option fields, e.g. { path, fields: { ${numbered.join(", ")} } }.`,
    );
    return false;
  }
}

/** Reads a file's records through their columns. */
export function readColumns(
  input: InputFile,
  cut: CellCutter,
  columns: Columns,
  onRecord: (cells: Cells, line: number) => void,
): Promise<void> {
  return cut(input, (cells, line) => {
    if (columns.accept(cells, line)) onRecord(cells, line);
  });
}

/**
 * Whether cells are names of columns: the first is an id's name, or one is and another is the name of something else
 * that the role wants.
 */
export function looksLikeHeader(cells: readonly string[], role: Role): boolean {
  const names = cells.map((cell) => cell.trim());
  // Query ids are taken from files of all kinds.
  const roles: readonly Role[] = role === "ids" ? ["ids", "qrels", "queries"] : [role];
  return roles.some((each) => {
    const [id, ...others] = usualFields(each) as [WantedField, ...WantedField[]];
    const isNamed = (name: string, field: WantedField): boolean => isOneOf(name, field.names);
    if (
      isNamed(names[0] ?? "", id) ||
      others.some((field) => field.field === "passage" && isNamed(names[0] ?? "", field))
    ) {
      return true;
    }
    return (
      names.some((name) => isNamed(name, id)) && names.some((name) => others.some((field) => isNamed(name, field)))
    );
  });
}

/** Headers are written in all ways: Query-ID, query id and queryid are one name. */
export function isOneOf(name: string, names: readonly (string | number)[]): boolean {
  const plain = plainName(name);
  return plain !== "" && names.some((each) => typeof each === "string" && plainName(each) === plain);
}

function plainName(name: string): string {
  return name.toLowerCase().replace(/[-_ ]/g, "");
}
