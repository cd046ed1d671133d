/** Reads which queries count: any file that yields query ids. */
import { join } from "node:path";
import { z } from "zod";
import { QuarryError } from "../../errors.js";
import { openEntry, type SourceStamp } from "../cache/entry.js";
import { changedError, stampSource } from "../cache/source-stamp.js";
import { BadLines, FindingCounter, judge, named, policyOf, storedFinding } from "../findings.js";
import { formatKey, formatOf } from "../readers/formats.js";
import { decode } from "../readers/json-line.js";
import type { Format, SourceFile } from "../readers/reader.js";
import { CheckedFile } from "../storage/checked-file.js";
import { CheckedWriter } from "../storage/checked-writer.js";
import { FileSink, type WrittenFile } from "../storage/file-sink.js";
import { inputOf } from "../texts/open-texts.js";
import type { StoredTexts } from "../texts/stored-texts.js";
import type { DataContext } from "../types.js";

const SUBSET_FILE = "subset.rows";
/** Changes when the layout of the file changes. */
const SUBSET_VERSION = "subset/2";

const DANGLING_HINT = "Check that the subset belongs to these queries, or remove these ids.";

const count = z.int().min(0);
const subsetContent = z.strictObject({ rowCount: count, findings: z.array(storedFinding) });
type SubsetContent = z.output<typeof subsetContent>;

/** Query rows of a subset, ascending, and a hash of what it was read from. */
export interface Subset {
  readonly rows: Int32Array;
  readonly fingerprint: string;
}

/**
 * An id may come several times; several files add up. Ids that the queries do not have are danglingIds.
 *
 * @param files absolute, at least one.
 * @throws QuarryError CONFIG, DATA or ENVIRONMENT.
 */
export async function openSubset(
  files: readonly SourceFile[],
  queries: StoredTexts,
  context: DataContext,
): Promise<Subset> {
  const { cacheDir, signal } = context;
  const formats: Format[] = [];
  const stamps: SourceStamp[] = [];
  for (const file of files) {
    stamps.push(await stampSource(file.path, cacheDir, signal));
    formats.push(await formatOf(file, "ids"));
  }
  const isLenient = policyOf(context, "badLines") !== "error";
  const paths = files.map(({ path }) => path);
  const hashes = stamps.map(({ sha256 }) => sha256);
  const keys = files.map((file, index) => formatKey(formats[index] as Format, file));
  const key = [SUBSET_VERSION, queries.fingerprint, ...keys, ...hashes];
  const opened = await openEntry<SubsetContent, { rows: Int32Array; content: SubsetContent }>(cacheDir, {
    kind: "subset",
    key,
    reader: [...new Set(formats.map(({ name }) => name))].join(" "),
    sources: stamps,
    basis: [queries.fingerprint],
    content: subsetContent,
    async build(folder) {
      const bad = new BadLines();
      const unknown = new FindingCounter("danglingIds", ["unknown query id", "unknown query ids"]);
      const isIn = new Uint8Array(queries.rowCount);
      for (const [number, file] of files.entries()) {
        const format = formats[number] as Format;
        const input = inputOf(file.path, stamps[number]?.size ?? 0, context, isLenient);
        bad.watch(input, number);
        if (format.readIds === undefined) throw noIds(file.path, format.name);
        let seen = 0;
        await format.readIds(input, file, ({ id, line }) => {
          seen += 1;
          const row = queries.rowOfBytes(id.bytes, id.start, id.end);
          if (row === -1) unknown.add(number, line, () => `unknown query id ${JSON.stringify(decode(id))}`);
          else isIn[row] = 1;
        });
        if (seen === 0) throw bad.nothingIn(file.path, "query id");
        const after = await stampSource(file.path, cacheDir, signal);
        if (after.sha256 !== hashes[number]) throw changedError(file.path);
      }
      const { written, rowCount } = writeRows(folder, isIn);
      const findings = [bad, unknown].flatMap((each) => each.stored() ?? []);
      return { files: { [SUBSET_FILE]: written }, content: { rowCount, findings } };
    },
    open(folder, content, onDamage) {
      const file = new CheckedFile(join(folder, SUBSET_FILE), content.rowCount * 4, onDamage);
      try {
        return { rows: file.int32(0, content.rowCount).slice(), content };
      } finally {
        file.close();
      }
    },
  });
  for (const found of opened.content.findings) {
    const hint = found.kind === "badLines" ? "Mend these lines." : DANGLING_HINT;
    judge(context, named(found, paths, hint));
  }
  return { rows: opened.rows, fingerprint: key.join(" ") };
}

function writeRows(folder: string, isIn: Uint8Array): { written: WrittenFile; rowCount: number } {
  const sink = new FileSink(join(folder, SUBSET_FILE));
  try {
    const writer = new CheckedWriter(sink);
    let rowCount = 0;
    for (let row = 0; row < isIn.length; row += 1) {
      if (isIn[row] !== 1) continue;
      writer.int32(row);
      rowCount += 1;
    }
    writer.finish();
    return { written: sink.finish(), rowCount };
  } finally {
    sink.abandon();
  }
}

function noIds(path: string, format: string): QuarryError {
  return new QuarryError("CONFIG", `${path}: the format ${format} yields no query ids.`, {
    hint: "Name another file, or the right format with { path, format }.",
  });
}
