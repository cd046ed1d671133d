/** Columns longer than the system gives at a call are read in pieces. */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { fileBuffer } from "../../../../src/data/readers/parquet-file.js";

test("a range is read in calls of a bounded length, and is whole", async () => {
  const folder = fs.mkdtempSync(join(tmpdir(), "quarry-parquet-"));
  const reads = vi.spyOn(fs, "readSync");
  syncBuiltinESMExports();
  onTestFinished(() => {
    reads.mockRestore();
    syncBuiltinESMExports();
    fs.rmSync(folder, { recursive: true });
  });
  const content = Uint8Array.from({ length: 1_000 }, (_, at) => at % 251);
  const path = join(folder, "bytes");
  fs.writeFileSync(path, content);
  const buffer = fileBuffer(path, 300);
  try {
    expect(new Uint8Array(await buffer.slice(100, 950))).toEqual(content.slice(100, 950));
    expect(reads.mock.calls.map((call: unknown[]) => call[3])).toEqual([300, 300, 250]);
    expect(buffer.bytesRead).toBe(850);
    await expect(async () => buffer.slice(900, 1_001)).rejects.toThrow("the file ends too early");
  } finally {
    buffer.close();
  }
});
