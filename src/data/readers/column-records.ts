/** Reads texts, judgements and ids from columns, however their cells are cut. */
import type { CellCutter } from "./cells.js";
import { Columns, type Layout, readColumns } from "./columns.js";
import { putExtras } from "./extras.js";
import { FIRST_EXTRA } from "./field-names.js";
import type { Format, SourceFile } from "./reader.js";
import { newIdRecord, newJudgementRecord, newTextRecord } from "./records.js";

/** Fields in the order of field-names.ts: id, text, title, prompt. */
const TEXTS: Layout = {
  byCount: { 2: [0, 1, -1, -1], 3: [0, 2, 1, -1] },
  expected: "two columns (id, text) or three (id, title, text)",
};
/** query, passage, score. */
const JUDGEMENTS: Layout = {
  byCount: { 3: [0, 1, 2] },
  expected: "three columns: query id, passage id, score",
};
const IDS: Layout = { byCount: { 0: [0] }, expected: "the query id in the first column" };

type Readers = Required<Pick<Format, "readTexts" | "readJudgements" | "readIds">>;

/**
 * The methods of a format of columns.
 *
 * @param cutterOf how a file's cells are cut; may look at its options.
 */
export function columnReaders(
  cutterOf: (file: SourceFile) => CellCutter,
  judgements: Layout = JUDGEMENTS,
  ids: Layout = IDS,
): Readers {
  return {
    readTexts(input, file, role, onRecord) {
      const columns = new Columns(input, file, role, TEXTS);
      const record = newTextRecord();
      const extras = file.extras ?? [];
      return readColumns(input, cutterOf(file), columns, (cells, line) => {
        if (!columns.takeId(cells, 0, record.id, line)) return;
        columns.takeText(cells, 1, record.text);
        columns.takeText(cells, 2, record.title);
        columns.takeText(cells, 3, record.prompt);
        if (extras.length > 0) putExtras(record.extras, extras, (index) => columns.jsonOf(cells, FIRST_EXTRA + index));
        record.line = line;
        onRecord(record);
      });
    },
    readJudgements(input, file, onRecord) {
      const columns = new Columns(input, file, "qrels", judgements);
      const record = newJudgementRecord();
      return readColumns(input, cutterOf(file), columns, (cells, line) => {
        record.score = columns.takeScore(cells, 2, line);
        if (Number.isNaN(record.score)) return;
        if (!columns.takeId(cells, 0, record.query, line) || !columns.takeId(cells, 1, record.passage, line)) return;
        record.line = line;
        onRecord(record);
      });
    },
    readIds(input, file, onRecord) {
      const columns = new Columns(input, file, "ids", ids);
      const record = newIdRecord();
      return readColumns(input, cutterOf(file), columns, (cells, line) => {
        record.line = line;
        if (columns.takeId(cells, 0, record.id, line)) onRecord(record);
      });
    },
  };
}
