/** What large tables rest on: checksums, flat files written in pieces, the index of ids and their order. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CheckedFile } from "../../../src/data/storage/checked-file.js";
import { CheckedWriter, writeChecked } from "../../../src/data/storage/checked-writer.js";
import { FileSink } from "../../../src/data/storage/file-sink.js";
import { grown } from "../../../src/data/storage/growing.js";
import { crc32Of, idChecksum, textChecksum } from "../../../src/data/texts/checksums.js";
import { FULL, IdIndex, IndexBuilder, NEW } from "../../../src/data/texts/id-index.js";
import { rankSteps } from "../../../src/data/texts/id-order.js";
import { newCollection } from "./collection.js";

test("a checksum over a range is zlib's crc32, for short and long ranges and any start", () => {
  const range = fc.tuple(fc.uint8Array({ maxLength: 80 }), fc.nat(20), fc.nat({ max: 0xffffffff }));
  fc.assert(
    fc.property(range, ([bytes, before, start]) => {
      const from = Math.min(before, bytes.byteLength);
      const expected = from === bytes.byteLength ? start : crc32(bytes.subarray(from), start);
      expect(crc32Of(bytes, from, bytes.byteLength, start)).toBe(expected);
    }),
  );
});

test("the checksum of a text tells title and text apart, and that of an id its line", () => {
  const bytes = (text: string): Uint8Array => Buffer.from(text);
  expect(textChecksum(bytes("ab"), bytes("c"))).not.toBe(textChecksum(bytes("a"), bytes("bc")));
  expect(textChecksum(bytes(""), bytes("abc"))).not.toBe(textChecksum(bytes("abc"), bytes("")));
  expect(idChecksum(bytes("a"), 1)).not.toBe(idChecksum(bytes("a"), 2));
  expect(textChecksum(bytes(""), bytes(""))).not.toBe(0);
});

test("numbers written in any pieces make the file that writing them at once makes, and read back", () => {
  const pieces = fc.array(fc.int32Array({ maxLength: 2000 }), { maxLength: 6 });
  fc.assert(
    fc.property(pieces, (arrays) => {
      const { dir } = newCollection();
      const whole = Int32Array.from(arrays.flatMap((array) => [...array]));
      const atOnce = writeChecked(join(dir, "whole"), [whole]);
      const inPieces = new FileSink(join(dir, "pieces"));
      const writer = new CheckedWriter(inPieces);
      for (const array of arrays) {
        writer.write(array);
        array.fill(7);
      }
      writer.finish();
      expect(inPieces.finish()).toEqual(atOnce);
      expect(readFileSync(join(dir, "pieces"))).toEqual(readFileSync(join(dir, "whole")));
      const read = new CheckedFile(join(dir, "pieces"), whole.byteLength, () => {});
      expect(read.int32(0, whole.length)).toEqual(whole);
      read.close();
    }),
    { numRuns: 40 },
  );
});

test("an array too long for one call is written and hashed in pieces, to the same file", () => {
  const { dir } = newCollection();
  const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at * 7));
  const sink = new FileSink(join(dir, "cut"), 4_099);
  sink.write(bytes);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  expect(sink.finish()).toEqual({ bytes: bytes.byteLength, sha256 });
  expect(readFileSync(join(dir, "cut")).equals(bytes)).toBe(true);
});

test("the index finds each id's first row and nothing else, whatever was guessed about the size", () => {
  const ids = fc.array(fc.string({ minLength: 1, maxLength: 3 }), { maxLength: 3000, size: "max" });
  fc.assert(
    fc.property(ids, fc.array(fc.double({ min: 0, max: 2, noNaN: true }), { maxLength: 4 }), (list, guesses) => {
      const builder = new IndexBuilder();
      const first = new Map<string, number>();
      // Compared at once: an expect for each id takes longer than what it looks at.
      const answers: number[] = [];
      const wantedAnswers: number[] = [];
      for (const [place, id] of list.entries()) {
        const bytes = Buffer.from(`<${id}>`);
        answers.push(builder.add(bytes, 1, bytes.byteLength - 1));
        wantedAnswers.push(first.get(id) ?? -1);
        if (!first.has(id)) first.set(id, first.size);
        if (place % 700 === 0) builder.expect(guesses[place / 700] ?? 0);
      }
      expect(answers).toEqual(wantedAnswers);
      const { bytes: all, offsets } = builder.ids();
      const path = join(newCollection().dir, "index");
      const slots = builder.takeSlots();
      writeChecked(path, [slots]);
      const index = new IdIndex(path, slots.length / 3, () => {});
      const rowOf = (id: string): number => {
        const wanted = Buffer.from(id);
        const isId = (row: number): boolean => wanted.equals(all.subarray(offsets[row], offsets[row + 1]));
        return index.find(wanted, 0, wanted.byteLength, isId);
      };
      expect([...first.keys()].map(rowOf)).toEqual([...first.values()]);
      expect(rowOf("not in there")).toBe(-1);
      index.close();
    }),
    { numRuns: 15 },
  );
});

test("an index takes what its limits hold to the last byte, whatever was guessed, and says when it is full", () => {
  const ids = Array.from({ length: 40_000 }, (_, row) => Buffer.from(`msmarco_passage_00_${100_000_000 + row}`));
  const add = (builder: IndexBuilder, id: Buffer) => builder.add(id, 0, id.byteLength);
  const limits = { idBytes: ids.length * 28, ids: 1e6 };
  const builder = new IndexBuilder(limits);
  const answers = new Set<number>();
  for (const [row, id] of ids.entries()) {
    answers.add(add(builder, id));
    if (row === 9_999) builder.expect(10_000 / ids.length);
  }
  expect([...answers]).toEqual([NEW]);
  expect(builder.ids().bytes.byteLength).toBeLessThanOrEqual(limits.idBytes);
  expect(add(builder, Buffer.from("x"))).toBe(FULL);
  expect(add(builder, ids[7] as Buffer)).toBe(7);
  expect(builder.ids().count).toBe(ids.length);
  const few = new IndexBuilder({ idBytes: 1e6, ids: 2 });
  expect(["a", "b", "c", "b"].map((id) => add(few, Buffer.from(id)))).toEqual([NEW, NEW, FULL, 1]);
});

test("what grows ahead stops at the limit, and only goes beyond it where it must", () => {
  expect(grown(1 << 16, 70_000, 1, 2 ** 32 - 1)).toBe(1 << 17);
  expect(grown(3e9, 3e9 + 1, 1, 2 ** 32 - 1)).toBe(2 ** 32 - 1);
  expect(grown(100, 101, 1, 120)).toBe(120);
  expect(grown(120, 121, 1, 120)).toBe(121);
});

test("ranks order ids as their bytes do, with long common beginnings and ids that begin others", () => {
  const id = fc.oneof(
    fc.string({ unit: "binary", maxLength: 4 }),
    fc.nat(5000).map((number) => `passage-${number}`),
    fc.nat(300).map((number) => "x".repeat(number)),
  );
  fc.assert(
    fc.property(fc.uniqueArray(id, { maxLength: 1500, size: "max" }), (ids) => {
      const encoded = ids.map((each) => Buffer.from(each));
      const offsets = new Uint32Array(ids.length + 1);
      for (const [row, bytes] of encoded.entries()) offsets[row + 1] = (offsets[row] as number) + bytes.byteLength;
      const all = { bytes: Buffer.concat(encoded), offsets, count: ids.length };
      const steps = rankSteps(all, new Int32Array(2 * ids.length));
      let step = steps.next();
      while (step.done !== true) step = steps.next();
      const sorted = encoded.toSorted(Buffer.compare);
      // As text: of buffers each byte is compared as a property of an object.
      const inHex = encoded.map((bytes) => bytes.toString("hex"));
      expect([...step.value].map((rank) => sorted[rank]?.toString("hex"))).toEqual(inHex);
    }),
    { numRuns: 15 },
  );
});
