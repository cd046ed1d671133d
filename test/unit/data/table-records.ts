/** Builds tables from records in memory, through a format as users register it. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { InputFile } from "../../../src/data/readers/input.js";
import type { Format, TextRecord } from "../../../src/data/readers/reader.js";
import { asFile } from "../../../src/data/source-files.js";
import type { WrittenFile } from "../../../src/data/storage/file-sink.js";
import { type BuildOptions, buildTexts, type TextsContent } from "../../../src/data/texts/build.js";
import { StoredTexts } from "../../../src/data/texts/stored-texts.js";
import { newCollection } from "./collection.js";

/** Id, text and perhaps a prompt. */
export type RecordCells = readonly [id: string, text: string, prompt?: string];

/** A format whose files all hold these records, one a line, handed out in one turn. */
export function recordsFormat(
  records: Iterable<RecordCells>,
  options: Pick<Format, "mayRepeat" | "hasPrompts"> = {},
): Format {
  return {
    name: "records",
    version: 1,
    matches: () => true,
    ...options,
    async readTexts(_input, _file, _role, onRecord) {
      const span = (text: string): TextRecord["id"] => {
        const bytes = Buffer.from(text);
        return { bytes, start: 0, end: bytes.byteLength };
      };
      let line = 0;
      for (const [id, text, prompt = ""] of records) {
        line += 1;
        onRecord({ line, id: span(id), title: span(""), text: span(text), prompt: span(prompt), extras: span("") });
      }
    },
  };
}

/** Builds one table from one file in each format, in a folder that goes away with the test. */
export async function buildTable(
  formats: readonly Format[],
  { role = "corpus", ...options }: BuildOptions & { readonly role?: "corpus" | "queries" } = {},
): Promise<{ folder: string; files: Record<string, WrittenFile>; content: TextsContent; table: StoredTexts }> {
  const folder = join(newCollection().dir, "entry");
  mkdirSync(folder);
  const paths = formats.map((_, number) => `/records/${number}`);
  const inputs = formats.map((format, number) => {
    const path = paths[number] as string;
    return { input: new InputFile(path), file: asFile(path), format, size: 0 };
  });
  const built = await buildTexts(inputs, role, folder, options);
  return { folder, ...built, table: new StoredTexts(folder, built.content, paths, () => {}) };
}
