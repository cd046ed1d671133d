/** Writes Parquet files with pyarrow, all of a test file's in one Python process. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

/** A file: its columns with pyarrow's types (as Python code over `pa`) and values, and how it is written. */
export interface WrittenParquet {
  readonly path: string;
  readonly columns: Readonly<Record<string, readonly [type: string, values: readonly unknown[]]>>;
  /** Arguments of pyarrow.parquet.write_table. */
  readonly options?: Readonly<Record<string, unknown>>;
}

const folder = process.env["QUARRY_PYTHON"] ?? join(import.meta.dirname, "../../../../.python");
export const python = join(folder, "bin", "python");
export const hasPython = existsSync(python);

// Values of binary columns come as hexadecimal digits, since JSON has no bytes; big integers as strings.
const CODE = `
import json, sys
import pyarrow as pa
import pyarrow.parquet as pq

def value(each, kind):
    if each is None: return None
    if pa.types.is_binary(kind): return bytes.fromhex(each)
    if pa.types.is_integer(kind): return int(each)
    return each

for file in json.load(sys.stdin):
    arrays = {}
    for name, (code, values) in file["columns"].items():
        kind = eval(code, {"pa": pa})
        arrays[name] = pa.array([value(each, kind) for each in values], kind)
    pq.write_table(pa.table(arrays), file["path"], **file.get("options", {}))
`;

export function writeParquet(files: readonly WrittenParquet[]): void {
  execFileSync(python, ["-c", CODE], { input: JSON.stringify(files), stdio: ["pipe", "inherit", "inherit"] });
}
