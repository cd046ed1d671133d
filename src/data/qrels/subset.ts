/** Reads which queries count: any file that yields query ids. */
import { join } from "node:path";
import { z } from "zod";
import { openEntry } from "../cache/entry.js";
import { BadLines, FindingCounter, judge, named, storedFinding } from "../findings.js";
import { decode } from "../readers/json-line.js";
import type { SourceFile } from "../readers/reader.js";
import { sourceReading } from "../source-reading.js";
import { readChecked } from "../storage/checked-file.js";
import { writeChecked } from "../storage/checked-writer.js";
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
  const { paths, reader, stamps, inputs, refuseChanged, ...reading } = await sourceReading(files, "ids", context);
  const key = [SUBSET_VERSION, queries.fingerprint, ...reading.key];
  const opened = await openEntry<SubsetContent, { rows: Int32Array; content: SubsetContent }>(context.cacheDir, {
    kind: "subset",
    key,
    reader,
    sources: stamps,
    basis: [queries.fingerprint],
    content: subsetContent,
    async build(folder) {
      const bad = new BadLines();
      const unknown = new FindingCounter("danglingIds", ["unknown query id", "unknown query ids"]);
      const isIn = new Uint8Array(queries.rowCount);
      for (const [number, { file, format, input }] of inputs().entries()) {
        bad.watch(input, number);
        let seen = 0;
        // formatOf refused formats that have no ids.
        await format.readIds?.(input, file, ({ id, line }) => {
          seen += 1;
          const row = queries.rowOfBytes(id.bytes, id.start, id.end);
          if (row === -1) unknown.add(number, line, () => `unknown query id ${JSON.stringify(decode(id))}`);
          else isIn[row] = 1;
        });
        if (seen === 0) throw bad.nothingIn(file.path, "query id");
      }
      await refuseChanged();
      const rows = new Int32Array(isIn.length);
      let rowCount = 0;
      for (let row = 0; row < isIn.length; row += 1) if (isIn[row] === 1) rows[rowCount++] = row;
      const written = writeChecked(join(folder, SUBSET_FILE), [rows.subarray(0, rowCount)]);
      const findings = [bad, unknown].flatMap((each) => each.stored() ?? []);
      return { files: { [SUBSET_FILE]: written }, content: { rowCount, findings } };
    },
    open(folder, content, onDamage) {
      const [rows] = readChecked(join(folder, SUBSET_FILE), [content.rowCount], onDamage);
      return { rows: rows.slice(), content };
    },
  });
  for (const found of opened.content.findings) {
    const hint = found.kind === "badLines" ? "Mend these lines." : DANGLING_HINT;
    judge(context, named(found, paths, hint));
  }
  return { rows: opened.rows, fingerprint: key.join(" ") };
}
