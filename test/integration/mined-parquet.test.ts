/** Mined training files as Parquet, written by the runtime and read back by the data plane: what the JSON lines say. */
import { expect, test } from "vitest";
import { formatsOf } from "../../src/pipeline/mining/output/formats.js";
import { writeParquet } from "../../src/pipeline/mining/output/parquet.js";
import { findPython } from "../../src/python/environment.js";
import { mineToFiles, OUTPUTS, readBack } from "../unit/pipeline/mining/mined-files.js";

const context = {
  python: () => findPython({ extras: ["test"] }),
  signal: new AbortController().signal,
  checkStop: () => {},
};

test.each([true, false])(
  "every training file has the same texts and grades as Parquet (scores: %s)",
  async (scores) => {
    const mined = await mineToFiles({ scores, source: { prompts: { query: "ask: " } } });
    const formats = formatsOf({ output: [...OUTPUTS], scores, negativesPerQuery: 3 }, "tag");
    const tables = await writeParquet(context, mined.path(""), formats);
    expect(tables).toHaveLength(6);
    for (const { file, lines } of tables) {
      const json = file.replace(".parquet", ".jsonl");
      expect(lines, file).toBe(mined.files.find((each) => each.file === json)?.lines);
      const read = (path: string): Promise<string[]> =>
        readBack(mined.collection, {
          corpus: path,
          queries: path,
          qrels: { path, part: "all", scores: scores ? "teacher" : "labels" },
        });
      const found = await read(mined.path(file));
      expect(found, file).toEqual(await read(mined.path(json)));
      expect(found.length, file).toBeGreaterThan(12);
    }
  },
);
