/** Writes mined negatives in several formats at once, a chunk of queries at a time; nothing is visible before the end. */
import { join } from "node:path";
import type { PreparedSource } from "../../../data/types.js";
import { LineFile } from "../../line-file.js";
import type { Selection } from "../select.js";
import type { MinedEntry, MinedFormat, MinedPassage, MinedText, Origin } from "./entry.js";
import { readTexts } from "./texts.js";

/** What became of one format. */
export interface WrittenFile {
  readonly file: string;
  readonly lines: number;
  /** Queries without a line: they have no positive, or fewer negatives than a line has to have. */
  readonly queriesLeftOut: number;
}

interface Target {
  readonly format: MinedFormat;
  readonly file: LineFile;
  leftOut: number;
}

export class NegativesWriter {
  #positivesWithoutScore = 0;

  private constructor(
    private readonly targets: readonly Target[],
    private readonly source: PreparedSource,
    private readonly options: { readonly scores: boolean; readonly minNegatives: number },
  ) {}

  /**
   * Opens the files.
   *
   * @param options `scores`: positives without a score are left out, because no line may lack one; `minNegatives`:
   *   queries with fewer are left out of every file
   */
  static async open(
    folder: string,
    formats: readonly MinedFormat[],
    source: PreparedSource,
    options: { readonly scores: boolean; readonly minNegatives: number },
  ): Promise<NegativesWriter> {
    const targets: Target[] = [];
    const writer = new NegativesWriter(targets, source, options);
    try {
      for (const format of formats) {
        const file = await LineFile.open(join(folder, format.file));
        targets.push({ format, file, leftOut: 0 });
        if (format.header !== undefined) await file.write([format.header]);
      }
    } catch (thrown) {
      await writer.abandon();
      throw thrown;
    }
    return writer;
  }

  /** Positives that stand in no file because their scores are not known. */
  get positivesWithoutScore(): number {
    return this.#positivesWithoutScore;
  }

  get #hasTexts(): boolean {
    return this.targets.some(({ format }) => format.hasTexts);
  }

  /** Bytes of the passages that add() has to read for a query. */
  textBytes(selection: Selection): number {
    if (!this.#hasTexts) return 0;
    return passagesOf(selection).reduce((sum, row) => sum + this.source.passages.byteLength(row), 0);
  }

  /** Adds queries in order; their texts are in memory together. */
  async add(selections: readonly Selection[]): Promise<void> {
    const { queries, passages } = this.source;
    const hasTexts = this.#hasTexts;
    const queryTexts = hasTexts
      ? readTexts(
          queries,
          selections.map(({ queryRow }) => queryRow),
        )
      : null;
    const passageTexts = hasTexts ? readTexts(passages, selections.flatMap(passagesOf)) : null;
    for (const selection of selections) {
      const entry = this.#entryOf(selection, queryTexts, passageTexts);
      for (const target of this.targets) {
        const { needsPositive, minNegatives } = target.format;
        const isShort = entry.negatives.length < Math.max(minNegatives, this.options.minNegatives);
        if (isShort || (needsPositive && entry.positives.length === 0)) target.leftOut += 1;
        else await target.file.write(target.format.lines(entry));
      }
    }
  }

  /** Makes all files visible. */
  async finish(): Promise<WrittenFile[]> {
    const written: WrittenFile[] = [];
    for (const { format, file, leftOut } of this.targets) {
      await file.finish();
      const lines = file.lineCount - (format.header === undefined ? 0 : 1);
      written.push({ file: format.file, lines, queriesLeftOut: leftOut });
    }
    return written;
  }

  /** Leaves nothing behind; does nothing to finished files. */
  async abandon(): Promise<void> {
    for (const { file } of this.targets) await file.abandon();
  }

  #entryOf(
    selection: Selection,
    queryTexts: ReadonlyMap<number, MinedText> | null,
    passageTexts: ReadonlyMap<number, MinedText> | null,
  ): MinedEntry {
    const { queries, passages } = this.source;
    const passage = (row: number, score: number | undefined, origin: Origin | null): MinedPassage => ({
      id: passages.qualifiedId(row),
      text: passageTexts?.get(row) ?? null,
      score: score ?? null,
      origin,
    });
    const all = selection.positives.map((row, at) => passage(row, selection.positiveLabels[at], null));
    const positives = this.options.scores ? all.filter(({ score }) => score !== null) : all;
    this.#positivesWithoutScore += all.length - positives.length;
    return {
      queryId: queries.id(selection.queryRow),
      query: queryTexts?.get(selection.queryRow) ?? null,
      positives,
      negatives: selection.negatives.map((each) => passage(each.row, each.label, each)),
    };
  }
}

function passagesOf({ positives, negatives }: Selection): number[] {
  return [...positives, ...negatives.map(({ row }) => row)];
}
