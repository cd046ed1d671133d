/** Texts that are in memory and in no table, cut into units of work. */
import type { TextUnits } from "../units.js";
import { frameTexts, Pieces } from "./pieces.js";

/** A text by itself. */
export interface LooseText {
  readonly title?: string;
  readonly text: string;
}

/**
 * Units of at most `unitSize` texts, those of like length together, so that batches hold little padding. Rows are places
 * in `texts`.
 */
export function looseUnits(texts: readonly LooseText[], unitSize: number): TextUnits {
  const lengths = texts.map(({ title = "", text }) => title.length + text.length);
  const order = Int32Array.from(texts.keys()).sort(
    (one, other) => (lengths[other] as number) - (lengths[one] as number),
  );
  const rowsOf = (index: number): Int32Array => order.subarray(index * unitSize, (index + 1) * unitSize);
  return {
    count: Math.ceil(texts.length / unitSize),
    id: (index) => `texts-${index}`,
    rowCount: (index) => rowsOf(index).length,
    rows: rowsOf,
    frame: (index) => {
      const rows = rowsOf(index);
      const titles = new Pieces(rows.length);
      const bodies = new Pieces(rows.length);
      for (const [at, row] of rows.entries()) {
        const { title = "", text } = texts[row] as LooseText;
        titles.put(at, Buffer.from(title));
        bodies.put(at, Buffer.from(text));
      }
      return frameTexts(rows, null, [titles, bodies]);
    },
  };
}
