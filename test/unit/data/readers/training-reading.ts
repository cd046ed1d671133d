/** Reads a file with one format in each role, as plain records; what the tests of training files and Parquet share. */
import { InputFile } from "../../../../src/data/readers/input.js";
import { decode } from "../../../../src/data/readers/json-line.js";
import { loadParquet } from "../../../../src/data/readers/parquet-file.js";
import type { Format, Sample } from "../../../../src/data/readers/reader.js";
import { takeSample } from "../../../../src/data/readers/sample.js";
import type { FileConfig } from "../../../../src/experiment/schema.js";

/** What a format reads from a file; faults are collected where `isLenient`. */
export class Reading {
  readonly faults: string[] = [];
  readonly file: FileConfig;

  constructor(
    readonly format: Format,
    path: string,
    options: Partial<FileConfig> = {},
    private readonly isLenient = false,
  ) {
    this.file = { path, part: "all", scores: "labels", ...options };
  }

  async texts(role: "corpus" | "queries"): Promise<{ id: string; title: string; text: string; line: number }[]> {
    const found: { id: string; title: string; text: string; line: number }[] = [];
    await this.format.readTexts?.(this.#input(), this.file, role, ({ id, title, text, line }) => {
      found.push({ id: decode(id), title: decode(title), text: decode(text), line });
    });
    return found;
  }

  async prompts(): Promise<string[]> {
    const found: string[] = [];
    await this.format.readTexts?.(this.#input(), this.file, "queries", ({ prompt }) => found.push(decode(prompt)));
    return found;
  }

  /** [query, passage, score] */
  async judgements(): Promise<[string, string, number][]> {
    const found: [string, string, number][] = [];
    await this.format.readJudgements?.(this.#input(), this.file, ({ query, passage, score }) => {
      found.push([decode(query), decode(passage), score]);
    });
    return found;
  }

  async ids(): Promise<string[]> {
    const found: string[] = [];
    await this.format.readIds?.(this.#input(), this.file, ({ id }) => found.push(decode(id)));
    return found;
  }

  /** Whether the format says that the file is its own. */
  async isRecognised(): Promise<boolean> {
    await loadParquet();
    const sample: Sample = takeSample(this.file.path);
    return this.format.matches(sample, "qrels", this.file);
  }

  #input(): InputFile {
    const input = new InputFile(this.file.path, { isLenient: this.isLenient });
    input.onBadLine((line, message) => this.faults.push(`${line}: ${message}`));
    return input;
  }
}
