/** Training files as Parquet: made of the JSON lines by pyarrow, with the columns that the format says. */
import { join } from "node:path";
import { type CommandContext, runtimeAnswer } from "../../runtime-command.js";
import type { MinedFormat } from "./entry.js";
import type { WrittenFile } from "./writer.js";

/** Writes a table beside each file of JSON lines whose format has columns; each is whole or not there. */
export async function writeParquet(
  context: CommandContext,
  folder: string,
  formats: readonly MinedFormat[],
): Promise<WrittenFile[]> {
  const written: WrittenFile[] = [];
  for (const { file, columns } of formats) {
    if (columns === undefined) continue;
    const table = file.replace(/\.jsonl$/, ".parquet");
    const args = ["--lines", join(folder, file), "--to", join(folder, table), "--columns", JSON.stringify(columns)];
    const purpose = `${table} could not be written`;
    const { rows } = await runtimeAnswer<{ readonly rows: number }>(context, "parquet", args, purpose);
    written.push({ file: table, lines: rows, queriesLeftOut: 0 });
  }
  return written;
}
