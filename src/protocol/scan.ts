/** Looks over a msgpack header before it is decoded: the limits that keep hostile bytes from costing memory or time. */
import { isUtf8 } from "node:buffer";
import { QuarryError } from "../errors.js";

/** Longest header in bytes. */
export const MAX_HEADER_BYTES = 1_048_576;
/** Values (keys included) in one header: what 1,500 units of a snapshot need, and some. */
export const MAX_HEADER_VALUES = 10_000;
/** Entries of one map or array. A schema reports every wrong entry, which took 100 ms and 33 MB without this. */
export const MAX_HEADER_ENTRIES = 2_048;
/** Maps and arrays inside one another. */
export const MAX_HEADER_DEPTH = 16;

/** The error of everything in this folder; `detail` says what was seen. */
export function protocolError(detail: string, cause?: unknown): QuarryError {
  return new QuarryError("PROTOCOL", `Message refused: ${detail}.`, cause === undefined ? {} : { cause });
}

/**
 * Checks that `header` is one msgpack map of nil, booleans, integers within ±(2^53 - 1), finite float64, UTF-8 strings,
 * arrays and maps with distinct string keys, each written in its shortest form, within the limits above.
 * py_runtime/quarry_runtime/protocol/scan.py follows the same rules.
 *
 * @throws QuarryError PROTOCOL otherwise.
 */
export function scanHeader(header: Uint8Array): void {
  if (header.byteLength > MAX_HEADER_BYTES) throw protocolError(`its header has ${header.byteLength} bytes`);
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const first = header[0];
  if (first === undefined || !((first & 0xf0) === 0x80 || first === 0xde || first === 0xdf)) {
    throw protocolError("its header is not a map");
  }
  const end = new Scan(header, view).value(0, 0);
  if (end !== header.byteLength) throw protocolError("bytes follow its header");
}

class Scan {
  #valuesLeft = MAX_HEADER_VALUES;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, view: DataView) {
    this.#bytes = bytes;
    this.#view = view;
  }

  /** Checks the value at `at`; the offset after it comes back. */
  value(at: number, depth: number): number {
    this.#valuesLeft -= 1;
    if (this.#valuesLeft < 0) throw protocolError(`its header has more than ${MAX_HEADER_VALUES} values`);
    this.#need(at, 1);
    const tag = this.#view.getUint8(at);
    if (tag < 0x80 || tag >= 0xe0 || tag === 0xc0 || tag === 0xc2 || tag === 0xc3) return at + 1;
    if (tag < 0x90) return this.#map(at + 1, tag & 0x0f, depth);
    if (tag < 0xa0) return this.#array(at + 1, tag & 0x0f, depth);
    if (tag < 0xc0) return this.#string(at + 1, tag & 0x1f);
    switch (tag) {
      case 0xcb:
        return this.#float(at + 1);
      case 0xcc:
        return this.#integer(at + 1, 1, this.#unsigned(at + 1, 1), 0x80);
      case 0xcd:
        return this.#integer(at + 1, 2, this.#unsigned(at + 1, 2), 0x100);
      case 0xce:
        return this.#integer(at + 1, 4, this.#unsigned(at + 1, 4), 0x1_0000);
      case 0xcf:
        return this.#integer(at + 1, 8, this.#wide(at + 1, false), 0x1_0000_0000);
      case 0xd0:
        return this.#integer(at + 1, 1, this.#signed(at + 1, 1), 33);
      case 0xd1:
        return this.#integer(at + 1, 2, this.#signed(at + 1, 2), 0x81);
      case 0xd2:
        return this.#integer(at + 1, 4, this.#signed(at + 1, 4), 0x8001);
      case 0xd3:
        return this.#integer(at + 1, 8, this.#wide(at + 1, true), 0x8000_0001);
      case 0xd9:
        return this.#string(at + 2, this.#length(at + 1, 1, 32));
      case 0xda:
        return this.#string(at + 3, this.#length(at + 1, 2, 0x100));
      case 0xdb:
        return this.#string(at + 5, this.#length(at + 1, 4, 0x1_0000));
      case 0xdc:
        return this.#array(at + 3, this.#length(at + 1, 2, 16), depth);
      case 0xdd:
        return this.#array(at + 5, this.#length(at + 1, 4, 0x1_0000), depth);
      case 0xde:
        return this.#map(at + 3, this.#length(at + 1, 2, 16), depth);
      case 0xdf:
        return this.#map(at + 5, this.#length(at + 1, 4, 0x1_0000), depth);
      default:
        throw protocolError(`its header holds a value of kind 0x${tag.toString(16)}`);
    }
  }

  #need(at: number, size: number): void {
    if (at + size > this.#bytes.byteLength) throw protocolError("its header is cut short");
  }

  #unsigned(at: number, size: 1 | 2 | 4): number {
    this.#need(at, size);
    if (size === 1) return this.#view.getUint8(at);
    return size === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  /** A negative integer's distance below zero; anything else written as signed is not in its shortest form. */
  #signed(at: number, size: 1 | 2 | 4): number {
    this.#need(at, size);
    if (size === 1) return -this.#view.getInt8(at);
    return -(size === 2 ? this.#view.getInt16(at) : this.#view.getInt32(at));
  }

  #wide(at: number, isSigned: boolean): number {
    this.#need(at, 8);
    return Number(isSigned ? -this.#view.getBigInt64(at) : this.#view.getBigUint64(at));
  }

  #integer(at: number, size: number, magnitude: number, least: number): number {
    if (magnitude < least) throw protocolError("its header holds an integer that is not in its shortest form");
    if (magnitude > Number.MAX_SAFE_INTEGER) throw protocolError("its header holds an integer beyond 2^53 - 1");
    return at + size;
  }

  #float(at: number): number {
    this.#need(at, 8);
    if (!Number.isFinite(this.#view.getFloat64(at)))
      throw protocolError("its header holds a number that is not finite");
    return at + 8;
  }

  #length(at: number, size: 1 | 2 | 4, least: number): number {
    const length = this.#unsigned(at, size);
    if (length < least) throw protocolError("its header holds a length that is not in its shortest form");
    return length;
  }

  #string(at: number, length: number): number {
    this.#need(at, length);
    if (!isUtf8(this.#bytes.subarray(at, at + length))) throw protocolError("its header holds text that is not UTF-8");
    return at + length;
  }

  #enter(length: number, depth: number): void {
    if (depth + 1 > MAX_HEADER_DEPTH) throw protocolError(`its header is nested deeper than ${MAX_HEADER_DEPTH}`);
    if (length > MAX_HEADER_ENTRIES) throw protocolError(`its header holds ${length} entries in one place`);
  }

  #array(at: number, length: number, depth: number): number {
    this.#enter(length, depth);
    let next = at;
    for (let index = 0; index < length; index += 1) next = this.value(next, depth + 1);
    return next;
  }

  #map(at: number, length: number, depth: number): number {
    this.#enter(length, depth);
    const keys = new Set<string>();
    let next = at;
    for (let index = 0; index < length; index += 1) {
      this.#need(next, 1);
      const tag = this.#view.getUint8(next);
      if (!((tag & 0xe0) === 0xa0 || (tag >= 0xd9 && tag <= 0xdb))) {
        throw protocolError("its header holds a key that is not text");
      }
      const keyEnd = this.value(next, depth + 1);
      // latin1 keeps distinct bytes distinct and costs no UTF-8 decoding.
      keys.add(Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + next, keyEnd - next).toString("latin1"));
      next = this.value(keyEnd, depth + 1);
    }
    if (keys.size !== length) throw protocolError("its header holds a key twice");
    return next;
  }
}
