/** One numbering over several tables: a table's rows follow those of the tables before it; equal tables count once. */

import { gatherTexts, partOf, type TablePart } from "../texts/gather.js";
import { areEqual } from "../texts/id-hash.js";
import type { StoredTexts } from "../texts/stored-texts.js";
import type { Origin } from "../types.js";

export class Numbering {
  readonly #parts: TablePart[] = [];
  #count = 0;

  /** The number of the table's first row. */
  add(table: StoredTexts): number {
    const known = this.#parts.find((part) => part.table.fingerprint === table.fingerprint);
    if (known !== undefined) return known.offset;
    const offset = this.#count;
    this.#parts.push({ table, offset });
    this.#count += table.rowCount;
    return offset;
  }

  /** The tables with their offsets, ascending. */
  get parts(): readonly TablePart[] {
    return this.#parts;
  }

  gather(numbers: Int32Array): Uint8Array {
    return gatherTexts(this.#parts, numbers, 0);
  }

  id(number: number): string {
    const { table, offset } = partOf(this.#parts, number);
    return table.id(number - offset);
  }

  origin(number: number): Origin {
    const { table, offset } = partOf(this.#parts, number);
    return table.origin(number - offset);
  }

  textHash(number: number): number {
    const { table, offset } = partOf(this.#parts, number);
    return table.textHash(number - offset);
  }

  isSameText(number: number, other: number): boolean {
    if (number === other) return true;
    const one = this.#textOf(number);
    const two = this.#textOf(other);
    return isSame(one.title, two.title) && isSame(one.text, two.text);
  }

  #textOf(number: number): { title: Uint8Array; text: Uint8Array } {
    const { table, offset } = partOf(this.#parts, number);
    return table.textBytes(number - offset);
  }
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.byteLength === other.byteLength && areEqual(one, 0, other, 0, one.byteLength);
}
