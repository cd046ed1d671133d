/** Training files as Parquet: made of the JSON lines by pyarrow, with the columns that the format says. */
import { join } from "node:path";
import { type CommandContext, runtimeAnswer } from "../../runtime-command.js";
import type { MinedFormat } from "./entry.js";
import type { WrittenFile } from "./writer.js";

/** The table that a format's lines are written as, too; null for one without columns. */
export function tableOf({ file, columns }: Pick<MinedFormat, "file" | "columns">): string | null {
  return columns === undefined ? null : file.replace(/\.jsonl$/, ".parquet");
}

/** Writes a table beside each file of JSON lines whose format has columns; each is whole or not there. */
export async function writeParquet(
  context: CommandContext,
  folder: string,
  formats: readonly MinedFormat[],
): Promise<WrittenFile[]> {
  const written: WrittenFile[] = [];
  for (const format of formats) {
    const { file, columns } = format;
    const table = tableOf(format);
    if (columns === undefined || table === null) continue;
    const args = ["--lines", join(folder, file), "--to", join(folder, table), "--columns", JSON.stringify(columns)];
    const purpose = `${table} could not be written`;
    const { rows } = await runtimeAnswer<{ readonly rows: number }>(context, "parquet", args, purpose);
    written.push({ file: table, lines: rows, queriesLeftOut: 0 });
  }
  return written;
}
