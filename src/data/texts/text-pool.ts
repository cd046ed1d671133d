/** Several tables under one numbering: a table's rows follow those of the tables before it; equal tables count once. */
import { jsonDigest } from "../../json-digest.js";
import type { Origin, TextTable } from "../types.js";
import { gatherTexts, partOf, rowsIn, type TablePart } from "./gather.js";
import { QualifiedIds } from "./qualified-ids.js";
import { hasSameText, type StoredTexts } from "./stored-texts.js";
import { PLAIN, styleKey, type TextStyle } from "./style.js";

/** Passages or queries of one or several sources, in the order in which they were added. */
export class TextPool implements TextTable {
  readonly #parts: TablePart[] = [];
  /** What tells equal ids of several tables apart, one for each part. */
  readonly #names: string[] = [];
  #rowCount = 0;
  #ranks: Int32Array | null = null;
  #qualified: QualifiedIds | null = null;

  /**
   * Adds a table; gives the number of its first row. The same texts under the same style are the same rows.
   *
   * @param name what qualifies ids that other tables have too; default: the number of the table, from 1.
   */
  add(table: StoredTexts, style: TextStyle = PLAIN, name?: string): number {
    const key = styleKey(style);
    const known = this.#parts.find(
      (part) => part.table.fingerprint === table.fingerprint && styleKey(part.style) === key,
    );
    if (known !== undefined) return known.offset;
    const offset = this.#rowCount;
    this.#parts.push({ table, offset, style });
    this.#names.push(this.#freeName(name ?? String(this.#parts.length)));
    this.#rowCount += table.rowCount;
    this.#ranks = null;
    this.#qualified = null;
    return offset;
  }

  /** The tables with their offsets, ascending. */
  get parts(): readonly TablePart[] {
    return this.#parts;
  }

  get rowCount(): number {
    return this.#rowCount;
  }

  get fingerprint(): string {
    const [only] = this.#parts;
    if (only !== undefined && this.#parts.length === 1 && styleKey(only.style) === "") return only.table.fingerprint;
    const keys = this.#parts.map(({ table, style }) => [table.fingerprint, styleKey(style)]);
    return jsonDigest(keys);
  }

  /**
   * Ranks of the ids as qualifiedId() writes them, so that ties fall as trec_eval breaks them. With several tables they
   * are merged in memory when first asked for.
   */
  get idRanks(): Int32Array {
    const [only] = this.#parts;
    if (only !== undefined && this.#parts.length === 1) return only.table.idRanks;
    this.#ranks ??= this.#qualifiedIds().ranks();
    return this.#ranks;
  }

  /**
   * The id as run files write it: as it is where no other table has it, else behind the name of its source (or the
   * number of its table, from 1) and a colon, e.g. "nfcorpus:MED-10" or "2:MED-10". An id that begins like that by
   * itself is qualified as well, so no two rows have the same.
   */
  qualifiedId(row: number): string {
    if (this.#parts.length === 1) return this.id(row);
    const part = this.#parts.indexOf(this.partOf(row));
    const bytes = this.#qualifiedIds().bytes(part, row - (this.#parts[part] as TablePart).offset);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  }

  /** Order of two ids as their files write them, as UTF-8 bytes; rows decide between equal ones. */
  compareIds(row: number, other: number): number {
    const one = this.partOf(row);
    const two = this.partOf(other);
    if (one !== two) {
      return Buffer.compare(one.table.idBytes(row - one.offset), two.table.idBytes(other - two.offset)) || row - other;
    }
    const ranks = one.table.idRanks;
    return (ranks[row - one.offset] as number) - (ranks[other - one.offset] as number);
  }

  /** The table that holds a row. */
  partOf(row: number): TablePart {
    return partOf(this.#parts, row);
  }

  id(row: number): string {
    const { table, offset } = partOf(this.#parts, row);
    return table.id(row - offset);
  }

  /** The first row with this id; equal ids of different tables are different texts. */
  rowOf(id: string): number {
    for (const { table, offset } of this.#parts) {
      const row = table.rowOf(id);
      if (row !== -1) return row + offset;
    }
    return -1;
  }

  rowOfQualified(id: string): number {
    return this.#parts.length === 1 ? this.rowOf(id) : this.#qualifiedIds().rowOf(Buffer.from(id, "utf8"));
  }

  title(row: number): string {
    const { table, offset } = partOf(this.#parts, row);
    return table.title(row - offset);
  }

  text(row: number): string {
    const { table, offset } = partOf(this.#parts, row);
    return table.text(row - offset);
  }

  origin(row: number): Origin {
    const { table, offset } = partOf(this.#parts, row);
    return table.origin(row - offset);
  }

  byteLength(row: number): number {
    const { table, offset } = partOf(this.#parts, row);
    return table.byteLength(row - offset);
  }

  gather(rows: Int32Array, rowOffset = 0): Uint8Array {
    return gatherTexts(this.#parts, rows, rowOffset, this.idRanks);
  }

  prefetch(rows: Int32Array): void {
    for (const part of this.#parts) part.table.prefetch(rowsIn(part, rows, this.#parts.length));
  }

  /** As gather(), without ranks: for training, where nobody breaks ties. */
  gatherUnranked(rows: Int32Array): Uint8Array {
    return gatherTexts(this.#parts, rows, 0, null);
  }

  /** 32 bits over title and text: equal texts have equal hashes. The text is not read. */
  textHash(row: number): number {
    const { table, offset } = partOf(this.#parts, row);
    return table.textHash(row - offset);
  }

  isSameText(row: number, other: number): boolean {
    if (row === other) return true;
    const [one, two] = [this.partOf(row), this.partOf(other)];
    return hasSameText(one.table, row - one.offset, two.table, other - two.offset);
  }

  close(): void {
    for (const { table } of this.#parts) table.close();
  }

  #qualifiedIds(): QualifiedIds {
    this.#qualified ??= new QualifiedIds(this.#parts, this.#names);
    return this.#qualified;
  }

  /** A name without white space and colons that no other part has. */
  #freeName(name: string): string {
    const plain = name.replaceAll(/[\s:]+/g, "_");
    let free = plain;
    for (let number = 2; this.#names.includes(free); number += 1) free = `${plain}-${number}`;
    return free;
  }
}
