/** The thread that writes tables: the same files as without it, its failures told, its end waited for. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { InputFile } from "../../../src/data/readers/input.js";
import { jsonl } from "../../../src/data/readers/jsonl.js";
import { asFile } from "../../../src/data/source-files.js";
import { buildTexts } from "../../../src/data/texts/build.js";
import { threadFile } from "../../../src/data/texts/table-target.js";
import { newCollection, passages } from "./collection.js";
import { buildTable, type RecordCells, recordsFormat } from "./table-records.js";

const root = join(import.meta.dirname, "../../..");

/** What a thread runs when the code runs from its sources. */
function threadOverSources(): URL {
  const source = join(root, "src/data/texts/table-thread.ts");
  const jiti = join(root, "node_modules/jiti/lib/jiti.mjs");
  const script = `import { createJiti } from ${JSON.stringify(jiti)}; await createJiti(import.meta.url).import(${JSON.stringify(source)});`;
  return pathToFileURL(newCollection().write("thread.mjs", script));
}

function* records(count: number): Generator<RecordCells> {
  for (let row = 0; row < count; row += 1) yield [`d${row % 90_000}`, row % 7 === 0 ? "" : `text ${row}`];
}

test("a thread writes what is written without one, even for a reader that hands out everything in one turn", async () => {
  const direct = await buildTable([recordsFormat(records(120_000)), recordsFormat(records(5))], { thread: null });
  const shares: number[] = [];
  const threaded = await buildTable([recordsFormat(records(120_000)), recordsFormat(records(5))], {
    thread: threadOverSources(),
    onFinishing: (share) => shares.push(share),
  });
  expect(threaded.content).toEqual(direct.content);
  expect(threaded.files).toEqual(direct.files);
  expect(direct.content.findings.map(({ count }) => count)).toEqual([30_005, 12_858]);
  for (const [name, { sha256 }] of Object.entries(threaded.files)) {
    expect(
      createHash("sha256")
        .update(readFileSync(join(threaded.folder, name)))
        .digest("hex"),
    ).toBe(sha256);
  }
  expect(shares).toEqual(shares.toSorted((one, other) => one - other));
  direct.table.close();
  threaded.table.close();
});

test("a thread that cannot write says why, with the code of the system", async () => {
  for (const thread of [null, threadOverSources()]) {
    const { dir, write } = newCollection();
    const path = write("corpus.jsonl", passages(50_000));
    const inputs = [{ input: new InputFile(path), file: asFile(path), format: jsonl, size: 1 }];
    const building = buildTexts(inputs, "corpus", join(dir, "missing"), { thread });
    await expect(building).rejects.toMatchObject({ code: "ENOENT", message: expect.stringContaining("table.arrow") });
  }
});

test("more ids than an index holds are an error of the data, with and without a thread", async () => {
  for (const thread of [null, threadOverSources()]) {
    const building = buildTable([recordsFormat(records(100))], { thread, limits: { ids: 60, idBytes: 1e6 } });
    await expect(building).rejects.toMatchObject({
      name: "QuarryError",
      code: "DATA",
      message: "/records/0:61: the index of ids is full: one table takes at most 60 ids, of 1,000,000 bytes in all.",
      hint: expect.stringContaining("combined()"),
    });
  }
});

test("a thread that dies is an error, not a wait without end", async () => {
  const dying = pathToFileURL(newCollection().write("dying.mjs", "process.exit(7);"));
  await expect(buildTable([recordsFormat(records(10))], { thread: dying })).rejects.toThrow(/ended with status 7/);
  const failing = pathToFileURL(newCollection().write("failing.mjs", "throw new Error('no thread today');"));
  await expect(buildTable([recordsFormat(records(10))], { thread: failing })).rejects.toThrow("no thread today");
});

test("a stop ends the thread before the error is told: nobody writes into the folder any more", async () => {
  const { dir, write } = newCollection();
  const path = write("corpus.jsonl", passages(300_000));
  const folder = join(dir, "entry");
  const abort = new AbortController();
  let abortedAt = 0;
  const input = new InputFile(path, {
    signal: abort.signal,
    onProgress: ({ bytes }) => {
      if (bytes < 8e6 || abortedAt > 0) return;
      abortedAt = performance.now();
      abort.abort(new Error("enough"));
    },
  });
  write("entry/.keep", "");
  const building = buildTexts([{ input, file: asFile(path), format: jsonl, size: 1 }], "corpus", folder, {
    signal: abort.signal,
    thread: threadOverSources(),
  });
  await expect(building).rejects.toMatchObject({ code: "INTERRUPTED", cause: { message: "enough" } });
  expect(abortedAt).toBeGreaterThan(0);
  rmSync(folder, { recursive: true });
  await new Promise((done) => setTimeout(done, 100));
  expect(existsSync(folder)).toBe(false);
});

test("little data, and code that does not run from its built files, is written without a thread", () => {
  expect(threadFile(1000)).toBeNull();
  expect(threadFile(2 ** 32)).toBeNull();
});
