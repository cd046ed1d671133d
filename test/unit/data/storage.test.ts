/** Random access to files: mapped in windows or read by position, the same bytes either way. */
import { execFile } from "node:child_process";
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import fc from "fast-check";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import { ColdReads } from "../../../src/data/storage/cold-reads.js";
import { RandomFile } from "../../../src/data/storage/random-file.js";

const KIB = 1024;
const whole = RandomFile.windowBytes;
afterEach(() => {
  RandomFile.windowBytes = whole;
  delete process.env["QUARRY_NO_MMAP"];
});

function temporary(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), "quarry-storage-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, name);
}

/** Bytes that tell their place. */
function pattern(length: number): Uint8Array {
  const numbers = new Uint32Array(Math.ceil(length / 4));
  for (let at = 0; at < numbers.length; at += 1) numbers[at] = Math.imul(at, 0x9e3779b1);
  return new Uint8Array(numbers.buffer).subarray(0, length);
}

function written(length: number): { path: string; bytes: Uint8Array } {
  const path = temporary("file");
  const bytes = pattern(length);
  writeFileSync(path, bytes);
  return { path, bytes };
}

/** Whether this process has a descriptor of the file. */
function isOpen(path: string): boolean {
  return readdirSync("/proc/self/fd").some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false; // closed meanwhile, e.g. that of the listing
    }
  });
}

const modes = [
  ["memory-mapped", ""],
  ["by positional reads", "1"],
] as const;

describe.each(modes)("bytes of a file (%s)", (_, noMap) => {
  const open = (path: string, size: number, cuts: readonly number[] = []): RandomFile => {
    process.env["QUARRY_NO_MMAP"] = noMap;
    const file = RandomFile.open(path, size, cuts);
    onTestFinished(() => file.close());
    expect(file.isMapped).toBe(noMap === "");
    return file;
  };

  test("any range reads as it was written, wherever windows end", () => {
    const size = 1000 * KIB + 3;
    const { path, bytes } = written(size);
    const range = fc.record({ at: fc.nat(size), length: fc.nat(200 * KIB) });
    const layout = fc.record({
      windowKib: fc.integer({ min: 64, max: 400 }),
      cuts: fc.array(fc.nat(Math.floor(size / 8)), { maxLength: 12 }),
      ranges: fc.array(range, { minLength: 1, maxLength: 12 }),
    });
    fc.assert(
      fc.property(layout, ({ windowKib, cuts, ranges }) => {
        RandomFile.windowBytes = windowKib * KIB;
        const places = cuts.map((cut) => cut * 8).sort((one, other) => one - other);
        const file = open(path, size, places);
        for (const { at, length } of ranges) {
          const count = Math.min(length, size - at);
          expect(Buffer.compare(file.bytes(at, count), bytes.subarray(at, at + count))).toBe(0);
          const first = at - (at % 4);
          const numbers = file.int32(first, Math.floor(Math.min(length, size - first) / 4));
          const expected = bytes.slice(first, first + numbers.byteLength);
          expect(Buffer.compare(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength), expected)).toBe(
            0,
          );
          file.willNeed(at, count);
        }
        file.close();
      }),
      { numRuns: 60 },
    );
  });

  test("reads at every border of every window, over it and up to it", () => {
    const size = 640 * KIB;
    const { path, bytes } = written(size);
    RandomFile.windowBytes = 128 * KIB;
    const cuts = [40, 100, 170, 200, 290, 600].map((kib) => kib * KIB);
    const file = open(path, size, cuts);
    for (const border of [...cuts, 128 * KIB, 256 * KIB, 418 * KIB, 512 * KIB, size]) {
      for (const before of [1, 8, 4096, 70 * KIB]) {
        for (const after of [0, 1, 8, 4096, 70 * KIB]) {
          const from = Math.max(0, border - before);
          const to = Math.min(size, border + after);
          expect(Buffer.compare(file.bytes(from, to - from), bytes.subarray(from, to))).toBe(0);
        }
      }
    }
  });

  test("a file beyond 4 GiB is read at its end and at the borders of its windows", () => {
    const path = temporary("large");
    const size = 5 * 2 ** 30 + 12_345 * 4;
    const fd = openSync(path, "w");
    ftruncateSync(fd, size);
    const mark = pattern(64);
    const places = [0, 2 ** 30 - 32, 2 ** 32 - 32, 2 ** 32, 5 * 2 ** 30 - 32, size - 64];
    for (const place of places) writeSync(fd, mark, 0, 64, place);
    closeSync(fd);
    const file = open(path, size);
    expect(Buffer.compare(file.bytes(size - 64, 64), mark)).toBe(0);
    expect(file.int32(size - 64, 16)[15]).toBe(new Int32Array(mark.slice().buffer)[15]);
    expect(Buffer.compare(file.bytes(5 * 2 ** 30 - 32, 64), mark)).toBe(0);
    // The mark at 4 GiB was written over the second half of the one before it.
    expect(Buffer.compare(file.bytes(2 ** 32 - 32, 32), mark.subarray(0, 32))).toBe(0);
    expect(Buffer.compare(file.bytes(2 ** 32, 64), mark)).toBe(0);
    file.willNeed(size - 64, 64);
  });

  test("a range beyond the end is an INTEGRITY error, and an empty file has no bytes", () => {
    const { path } = written(4096);
    const file = open(path, 4096);
    expect(() => file.bytes(4000, 97)).toThrow("its length");
    expect(() => RandomFile.open(path, 4095, [])).toThrow("its length");
    const empty = written(0);
    expect(open(empty.path, 0).bytes(0, 0)).toHaveLength(0);
  });

  test("a file that is cut short after it was opened is noticed", () => {
    const { path } = written(64 * KIB);
    const file = open(path, 64 * KIB);
    expect(file.isWhole()).toBe(true);
    truncateSync(path, 40 * KIB);
    expect(file.isWhole()).toBe(false);
    // Touching a mapped page beyond the end would end this process; what can be tried without that is the last page.
    if (noMap === "1") expect(() => file.bytes(50 * KIB, 16)).toThrow("its length");
  });

  test("a mapped file takes no descriptor, and one that was removed or replaced is whole for whoever has it", () => {
    const { path } = written(64 * KIB);
    const file = open(path, 64 * KIB);
    if (noMap !== "1") expect(isOpen(path)).toBe(false);
    rmSync(path);
    expect(file.isWhole()).toBe(true);
    writeFileSync(path, "another one");
    expect(file.isWhole()).toBe(true);
  });

  test("what was handed out stays readable after closing, also when the file is gone", () => {
    const { path, bytes } = written(300 * KIB);
    const file = open(path, 300 * KIB);
    const kept = file.bytes(1000, 200 * KIB);
    file.close();
    rmSync(path);
    expect(Buffer.compare(kept, bytes.subarray(1000, 1000 + 200 * KIB))).toBe(0);
  });
});

test("without koffi files are read by position", async () => {
  const { path, bytes } = written(10_000);
  const jiti = pathToFileURL(join(import.meta.dirname, "../../../node_modules/jiti/lib/jiti.mjs")).href;
  const source = join(import.meta.dirname, "../../../src/data/storage/random-file.ts");
  const script = `
    import Module from "node:module";
    import { createJiti } from ${JSON.stringify(jiti)};
    const resolve = Module._resolveFilename;
    Module._resolveFilename = (name, ...rest) => {
      if (name === "koffi") throw Object.assign(new Error("Cannot find module 'koffi'"), { code: "MODULE_NOT_FOUND" });
      return resolve(name, ...rest);
    };
    const { RandomFile } = await createJiti(${JSON.stringify(source)}).import(${JSON.stringify(source)});
    const file = RandomFile.open(${JSON.stringify(path)}, 10000, []);
    file.willNeed(0, 10000);
    process.stdout.write(JSON.stringify([file.isMapped, [...file.bytes(9990, 10)]]));`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  expect(JSON.parse(stdout)).toEqual([false, [...bytes.subarray(9990)]]);
});

test("reading ahead stops when nothing comes from the disk, and starts again when something does", () => {
  const usage = process.resourceUsage;
  onTestFinished(() => {
    process.resourceUsage = usage;
  });
  let fsRead = 0;
  process.resourceUsage = () => ({ ...usage(), fsRead, majorPageFault: 0 });
  const cold = new ColdReads();
  expect(cold.isCold()).toBe(true);
  for (let call = 0; call < 40; call += 1) cold.isCold();
  expect(cold.isCold()).toBe(false);
  fsRead += 8;
  expect(cold.isCold()).toBe(false);
  fsRead += 64;
  expect(cold.isCold()).toBe(true);
});
