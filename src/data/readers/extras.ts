/** Further fields of a record that a source asks for, as one JSON object: what plugins get beside the text. */
import { fileError } from "../failures.js";
import type { SourceFile, Span, TextRecord } from "./reader.js";
import { putText } from "./records.js";

/**
 * Points `target` at the object of a record's further fields; at nothing where the record has none of them.
 *
 * @param jsonOf a field's value as JSON, by its place among `names`; null for a missing one.
 */
export function putExtras(target: Span, names: readonly string[], jsonOf: (index: number) => string | null): void {
  const fields = names.flatMap((name, index) => {
    const json = jsonOf(index);
    return json === null ? [] : [`${JSON.stringify(name)}:${json}`];
  });
  putText(target, fields.length === 0 ? "" : `{${fields.join(",")}}`);
}

/** Watches the records of a file for fields that none of them has: a misspelt name would be missed by nobody. */
export class UnseenExtras {
  readonly #unseen: Map<string, Buffer>;

  constructor(private readonly file: SourceFile) {
    this.#unseen = new Map((file.extras ?? []).map((name) => [name, Buffer.from(`${JSON.stringify(name)}:`)]));
  }

  see({ extras: { bytes, start, end } }: TextRecord): void {
    if (this.#unseen.size === 0 || start === end) return;
    const written = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
    for (const [name, key] of this.#unseen) if (written.includes(key)) this.#unseen.delete(name);
  }

  /** @throws QuarryError DATA naming the first field that no record had. */
  check(): void {
    for (const name of this.#unseen.keys()) {
      throw fileError(
        this.file.path,
        `no record has the field ${JSON.stringify(name)} that extras asks for.`,
        "Correct its name in extras.query or extras.passage, or leave it out.",
      );
    }
  }
}
