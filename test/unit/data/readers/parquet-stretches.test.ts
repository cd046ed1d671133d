/** A row group is read in stretches of rows, and one whose column is too long is refused with the way out. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InputFile } from "../../../../src/data/readers/input.js";
import { type ParquetLimits, readRowGroups } from "../../../../src/data/readers/parquet-file.js";
import { hasPython, type WrittenParquet, writeParquet } from "./parquet-files.js";

const folder = mkdtempSync(join(tmpdir(), "quarry-stretches-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const rows = Array.from({ length: 2_500 }, (_, row) => ({
  id: `d${row}`,
  title: row % 5 === 0 ? null : `Title ${row % 7}`,
  tags: row % 3 === 0 ? [] : [`a${row}`, "b"],
}));
const flat = {
  id: ["pa.string()", rows.map(({ id }) => id)],
  title: ["pa.string()", rows.map(({ title }) => title)],
} as const;
const nested = { ...flat, tags: ["pa.list_(pa.string())", rows.map(({ tags }) => tags)] } as const;
const layouts: Readonly<Record<string, Omit<WrittenParquet, "path">>> = {
  "one row group": { columns: flat },
  "small pages": { columns: flat, options: { data_page_size: 500, use_dictionary: false, compression: "zstd" } },
  "small pages, version 2": { columns: flat, options: { data_page_size: 500, data_page_version: "2.0" } },
  "small pages that the file tells of": { columns: flat, options: { data_page_size: 500, write_page_index: true } },
  "row groups of 900": { columns: flat, options: { row_group_size: 900 } },
  "a nested column beside them": { columns: nested, options: { row_group_size: 900, data_page_size: 500 } },
};
const pathOf = (name: string): string => join(folder, `${name.replaceAll(/\W/g, "-")}.parquet`);

async function read(name: string, limits: Partial<ParquetLimits>, names = ["id", "title"]) {
  const found: unknown[][] = [];
  const counts: number[] = [];
  const onRows: Parameters<typeof readRowGroups>[2] = ({ firstRow, rowCount, columns }) => {
    expect(firstRow).toBe(found.length);
    counts.push(rowCount);
    for (let row = 0; row < rowCount; row += 1) found.push(columns.map((column) => plain(column[row])));
  };
  const all = { rows: 1 << 18, columnBytes: 2 ** 32, ...limits };
  await readRowGroups(new InputFile(pathOf(name)), () => names, onRows, all);
  return { found, counts };
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("utf8");
  return Array.isArray(value) ? value.map(plain) : (value ?? null);
}

describe.skipIf(!hasPython)(`Parquet in stretches${hasPython ? "" : " (skipped: no Python environment)"}`, () => {
  beforeAll(
    () => writeParquet(Object.entries(layouts).map(([name, file]) => ({ path: pathOf(name), ...file }))),
    60_000,
  );

  test.each(Object.keys(layouts))("%s", async (name) => {
    const { found, counts } = await read(name, { rows: 400 });
    expect(found).toEqual(rows.map(({ id, title }) => [id, title]));
    expect(Math.max(...counts)).toBe(400);
  });

  test("rows of a nested column are decoded with their row group", async () => {
    const { found, counts } = await read("a nested column beside them", { rows: 400 }, ["id", "tags"]);
    expect(found).toEqual(rows.map(({ id, tags }) => [id, tags]));
    expect(counts).toEqual([900, 900, 700]);
  });

  test("a column that is too long in one row group is refused, and where pages are told it is read", async () => {
    await expect(read("one row group", { columnBytes: 100 })).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringMatching(/column id has [\d,]+ bytes in one row group; 100 can be read\./),
      hint: expect.stringContaining("row_group_size"),
    });
    expect((await read("small pages that the file tells of", { columnBytes: 100, rows: 400 })).found).toHaveLength(
      2_500,
    );
  });
});
