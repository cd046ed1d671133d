/** Counts judgements that name ids nobody knows, and lists the first ones. */
import { QuarryError } from "../../errors.js";
import { counted, EXAMPLE_LIMIT } from "../failures.js";
import { decode } from "../readers/json-line.js";
import type { Span } from "../readers/reader.js";

export class UnknownIds {
  readonly #counts = { query: 0, passage: 0 };
  readonly #examples: string[] = [];

  add(kind: "query" | "passage", file: string, line: number, id: Span): void {
    this.#counts[kind] += 1;
    if (this.#examples.length >= EXAMPLE_LIMIT) return;
    this.#examples.push(`\n  ${file}:${line}: unknown ${kind} id ${JSON.stringify(decode(id).slice(0, 200))}`);
  }

  /** @throws QuarryError DATA with the exact counts and the first ten places. */
  throwIfAny(): void {
    const { query, passage } = this.#counts;
    if (query + passage === 0) return;
    const parts: string[] = [];
    if (query > 0) parts.push(counted(query, "unknown query id", "unknown query ids"));
    if (passage > 0) parts.push(counted(passage, "unknown passage id", "unknown passage ids"));
    const shown = query + passage > this.#examples.length ? `; the first ${this.#examples.length}:` : ":";
    throw new QuarryError("DATA", `The qrels name ${parts.join(" and ")}${shown}${this.#examples.join("")}`, {
      hint: "Check that corpus, queries and qrels belong together, or remove these lines.",
    });
  }
}
