/** Reads the streams that TextTable.gather gives, in this process: values of a column as bytes or as strings. */
import { type Table, tableFromIPC, type Utf8 } from "apache-arrow";

/** A column's value by its place, null for a missing one; null for a column that is not there. */
export type Columns<Value> = (name: "title" | "text" | "prompt" | "extras") => ((at: number) => Value | null) | null;

export function gatheredBytes(stream: Uint8Array): Columns<Uint8Array> {
  const table: Table<Record<string, Utf8>> = tableFromIPC(stream);
  return (name) => {
    // A stream is one batch; one of no rows may have none.
    const data = table.getChild(name)?.data[0];
    if (data === undefined) return null;
    const { valueOffsets, values } = data;
    return (at) => (data.getValid(at) ? values.subarray(valueOffsets[at], valueOffsets[at + 1]) : null);
  };
}

/** Decoded here: apache-arrow takes U+FEFF at the beginning of a text for a byte order mark, and leaves it out. */
export function gatheredStrings(stream: Uint8Array): Columns<string> {
  const columns = gatheredBytes(stream);
  return (name) => {
    const column = columns(name);
    if (column === null) return null;
    return (at) => {
      const bytes = column(at);
      return bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
    };
  };
}
