/** The table of queries of a source that has none: a corpus that is only encoded. */
import type { TextTable } from "../types.js";
import { gatherTexts } from "./gather.js";

function noRow(row: number): never {
  throw new RangeError(`row ${row} is not in [0, 0)`);
}

export const emptyTexts: TextTable = {
  rowCount: 0,
  fingerprint: "empty",
  idRanks: new Int32Array(0),
  id: noRow,
  qualifiedId: noRow,
  rowOf: () => -1,
  rowOfQualified: () => -1,
  title: noRow,
  text: noRow,
  textHash: noRow,
  origin: noRow,
  byteLength: noRow,
  gather: (rows) => gatherTexts([], rows, 0, null),
  close: () => {},
};
