/** The journal: what was appended is there after any crash, and a torn line never harms the rest. */
import { appendFile, type FileHandle, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openJournal, readJournal } from "../../../src/rundir/journal.js";
import { anyFileHandle } from "../../fixtures/file-handle.js";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-journal-"));
  path = join(folder, "journal.jsonl");
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

test("cut at any byte, the journal holds every whole line and takes new ones", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string({ unit: "grapheme" }), { maxLength: 6 }), fc.nat(), async (texts, cut) => {
      await rm(path, { force: true });
      const written = await openJournal(path);
      for (const text of texts) await written.append({ type: "note", text });
      await written.close();
      const bytes = await readFile(path);
      const kept = bytes.length === 0 ? 0 : cut % (bytes.length + 1);
      await truncate(path, kept);
      const wholeLines = bytes.subarray(0, kept).filter((byte) => byte === 0x0a).length;
      const torn = await openJournal(path);
      expect(torn.entries.map((entry) => entry["text"])).toEqual(texts.slice(0, wholeLines));
      await torn.append({ type: "note", text: "after" });
      await torn.close();
      const again = await openJournal(path);
      expect(again.entries.map((entry) => entry["text"])).toEqual([...texts.slice(0, wholeLines), "after"]);
      await again.close();
    }),
    { numRuns: 60 },
  );
});

test("entries appended at once keep the order of the calls", async () => {
  const journal = await openJournal(path);
  await Promise.all([1, 2, 3, 4, 5].map((step) => journal.append({ type: "unit", step })));
  expect(journal.entries.map((entry) => entry["step"])).toEqual([1, 2, 3, 4, 5]);
  await journal.close();
  expect((await readFile(path, "utf8")).trimEnd().split("\n")).toHaveLength(5);
});

test("a last line that a power cut filled with zeros is dropped", async () => {
  const journal = await openJournal(path);
  await journal.append({ type: "a" });
  await journal.close();
  await appendFile(path, "\0\0\0\0\n");
  const again = await openJournal(path);
  expect(again.entries).toHaveLength(1);
  await again.close();
});

test("a broken line in the middle is damage, named with file and line", async () => {
  await writeFile(path, '{"type":"a","time":1}\n{"type":"b","ti\n{"type":"c","time":3}\n');
  const thrown = await openJournal(path).catch((e) => e);
  expect(thrown).toMatchObject({ code: "INTEGRITY", message: expect.stringContaining("journal.jsonl:2") });
});

test("no flipped bit of any line changes an entry: it is damage, and no byte is changed", async () => {
  const written = [
    { type: "begun", at: "a@b" },
    { type: "note", text: "é in a text" },
    { type: "done", step: 7 },
  ];
  const journal = await openJournal(path);
  for (const entry of written) await journal.append(entry);
  await journal.close();
  const whole = await readFile(path);
  const silent: string[] = [];
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const bytes = Buffer.from(whole);
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    await writeFile(path, bytes);
    const found = await readJournal(path).catch((thrown) => thrown);
    if (!Array.isArray(found)) {
      expect(found).toMatchObject({ code: "INTEGRITY", message: expect.stringMatching(/journal\.jsonl:[123]: /) });
      continue;
    }
    // In the name of a line's checksum: it is read as one without, and nothing of the entry is lost.
    const kept = found.map((entry, at) => ({ ...entry, ...written[at] }));
    if (!isDeepStrictEqual(kept, found)) silent.push(`bit ${bit}`);
  }
  expect(silent).toEqual([]);
  whole[whole.indexOf("@")] = 0;
  await writeFile(path, whole);
  await expect(openJournal(path)).rejects.toMatchObject({ code: "INTEGRITY" });
  expect(await readFile(path)).toEqual(whole);
});

test("a journal whose lines have no checksum is read, and goes on with lines that have one", async () => {
  await writeFile(path, '{"type":"a","time":1}\n{"type":"b","time":2}\n');
  const journal = await openJournal(path);
  await journal.append({ type: "c" });
  await journal.close();
  expect((await readFile(path, "utf8")).split("\n")[2]).toMatch(/^\{"type":"c","time":\d+,"crc32":"[0-9a-f]{8}"\}$/);
  const again = await openJournal(path);
  expect(again.entries.map(({ type }) => type)).toEqual(["a", "b", "c"]);
  await again.close();
});

test("a whole last line that is no JSON any more is damage, not a torn write", async () => {
  await writeFile(path, '{"type":"a","time":1}\n{"type":"b"<"time":2}\n');
  const thrown = await openJournal(path).catch((e) => e);
  expect(thrown).toMatchObject({ code: "INTEGRITY", message: expect.stringContaining("journal.jsonl:2") });
});

test("an entry is on the disk, not only in its cache, once it is told to be durable", async () => {
  const journal = await openJournal(path);
  const { datasync } = anyFileHandle;
  let synced = "";
  vi.spyOn(anyFileHandle, "datasync").mockImplementation(async function (this: FileHandle) {
    synced = await readFile(path, "utf8");
    await datasync.call(this);
  });
  await journal.append({ type: "a" });
  expect(synced).toContain('"type":"a"');
  expect(synced).toBe(await readFile(path, "utf8"));
  await journal.close();
});

test("of an entry that a full disk took half of nothing is left, and those before and after it are there", async () => {
  const journal = await openJournal(path);
  await journal.append({ type: "a" });
  const write = anyFileHandle.appendFile;
  vi.spyOn(anyFileHandle, "appendFile").mockImplementationOnce(async function (this: FileHandle, line) {
    await write.call(this, line.slice(0, line.length / 2));
    throw Object.assign(new Error("ENOSPC: injected"), { code: "ENOSPC" });
  });
  const refused = journal.append({ type: "b" });
  const next = journal.append({ type: "c" });
  await expect(refused).rejects.toMatchObject({ code: "ENVIRONMENT", message: `No space left for ${folder}.` });
  await next;
  await journal.close();
  expect(journal.entries.map(({ type }) => type)).toEqual(["a", "c"]);
  expect(await readJournal(path)).toEqual(journal.entries);
});

test("a journal is closed when what was appended is durable", async () => {
  const journal = await openJournal(path);
  const appended = journal.append({ type: "a" });
  await journal.close();
  await appended;
  expect(await readJournal(path)).toMatchObject([{ type: "a" }]);
});
