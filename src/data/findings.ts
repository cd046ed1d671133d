/** Faults of the data: counted with their places while data is prepared, judged by the policy whenever it is opened. */
import { z } from "zod";
import { counted } from "../counted.js";
import { QuarryError } from "../errors.js";
import type { ValidationConfig } from "../experiment/schema.js";
import { EXAMPLE_LIMIT, fileError } from "./failures.js";
import type { InputFile } from "./readers/input.js";
import type { DataContext } from "./types.js";
import { warn } from "./warnings.js";

/** The kinds of faults, named as the options that say what happens to them. */
export type FindingKind = keyof ValidationConfig;

const count = z.int().min(0);

/**
 * A fault as a cache entry keeps it: all are counted, the first ten are placed. `file` counts the entry's source files,
 * because the same content may lie under another path next time.
 */
export const storedFinding = z.strictObject({
  kind: z.enum([
    "badLines",
    "duplicateIds",
    "danglingIds",
    "emptyTexts",
    "contradictions",
    "duplicateTexts",
    "withoutPositives",
  ]),
  /** What was counted, e.g. ["line repeats an id", "lines repeat an id"]. */
  words: z.tuple([z.string(), z.string()]),
  count,
  examples: z.array(z.strictObject({ file: count, line: count, detail: z.string() })).max(EXAMPLE_LIMIT),
});
export type StoredFinding = z.output<typeof storedFinding>;

/** Options that refuse data by themselves with the value `error`, whatever the validation says. */
export type RefusingOption = "tooFew" | "merge";

/** One place of a fault. */
export interface Example {
  /** `file:line`. */
  readonly place: string;
  /** What stands there, e.g. `"d7" (first at line 3)`. */
  readonly detail: string;
}

/** A fault as it is told. */
export interface Finding {
  readonly kind: FindingKind | RefusingOption;
  /** The files or the data set that it was found in. */
  readonly subject: string;
  /** Singular and plural of what was counted. */
  readonly words: readonly [string, string];
  readonly count: number;
  /** The first ten. */
  readonly examples: readonly Example[];
  /** What mends it. */
  readonly hint: string;
}

/** What happens to each kind of fault unless the experiment says otherwise; equal to the defaults of the schema. */
export const DEFAULT_VALIDATION: ValidationConfig = {
  badLines: "error",
  duplicateIds: "error",
  danglingIds: "error",
  emptyTexts: "warn",
  contradictions: "warn",
  duplicateTexts: "warn",
  withoutPositives: "warn",
};

/** What the experiment says about a kind of fault. */
export function policyOf(context: DataContext, kind: FindingKind): "error" | "warn" | "drop" {
  return (context.validation ?? DEFAULT_VALIDATION)[kind];
}

/** Collects faults of one kind while data is read: counts all, keeps the first ten. */
export class FindingCounter {
  #count = 0;
  readonly #examples: StoredFinding["examples"] = [];

  constructor(
    readonly kind: FindingKind,
    readonly words: readonly [string, string],
  ) {}

  get count(): number {
    return this.#count;
  }

  /** @param detail made only for the first ten. */
  add(file: number, line: number, detail: () => string): void {
    this.#count += 1;
    if (this.#examples.length < EXAMPLE_LIMIT) this.#examples.push({ file, line, detail: detail() });
  }

  /** Null when nothing was found. */
  stored(): StoredFinding | null {
    if (this.#count === 0) return null;
    return { kind: this.kind, words: [this.words[0], this.words[1]], count: this.#count, examples: this.#examples };
  }
}

const BAD_LINES = ["line cannot be read", "lines cannot be read"] as const;

/** Counts the lines of several files that cannot be read and are left out. */
export class BadLines {
  readonly #all = new FindingCounter("badLines", BAD_LINES);
  #own = this.#all;

  /** Counts those of the next file from now on. */
  watch(input: InputFile, file: number): void {
    const own = new FindingCounter("badLines", BAD_LINES);
    this.#own = own;
    input.onBadLine((line, message) => {
      this.#all.add(file, line, () => message);
      own.add(0, line, () => message);
    });
  }

  /** Those of all files; null when there are none. */
  stored(): StoredFinding | null {
    return this.#all.stored();
  }

  /**
   * What to throw when the file that is watched gave nothing: the lines that were left out are the reason.
   *
   * @param what the file should hold, e.g. "record".
   */
  nothingIn(path: string, what: string): QuarryError {
    const found = this.#own.stored();
    if (found === null) return fileError(path, `the file holds no ${what}.`, "Give a file with at least one.");
    const told = describeFinding(named(found, [path], ""));
    const hint = "Mend these lines, or check that the file is what its format says.";
    return new QuarryError("DATA", `${told}\nNo ${what} is left in the file.`, { hint });
  }
}

/** A stored fault under the paths that the user named this time. */
export function named(found: StoredFinding, files: readonly string[], hint: string): Finding {
  const examples = found.examples.map(({ file, line, detail }) => ({ place: `${files[file]}:${line}`, detail }));
  return { kind: found.kind, subject: files.join(", "), words: found.words, count: found.count, examples, hint };
}

/** A fault in one message: the count, and the first ten on lines of their own. */
export function describeFinding(finding: Pick<Finding, "subject" | "words" | "count" | "examples">): string {
  const { subject, words, count: total, examples } = finding;
  const [one, many] = words;
  const listed = examples.map(({ place, detail }) => `\n  ${place}: ${detail}`).join("");
  const shown = examples.length === 0 ? "." : total > examples.length ? `; the first ${examples.length}:` : ":";
  return `${subject}: ${counted(total, many, one)}${shown}${listed}`;
}

/**
 * Does with a fault what the experiment says: stops, warns once, or goes on.
 *
 * @throws QuarryError DATA when the policy is `error` and this is no mere check.
 */
export function judge(context: DataContext, finding: Finding): void {
  if (finding.count === 0) return;
  const { kind } = finding;
  const isOption = kind === "tooFew" || kind === "merge";
  const policy = isOption ? "error" : policyOf(context, kind);
  context.onFinding?.(finding, policy);
  if (policy === "warn") warn(context, describeFinding(finding), finding.hint);
  if (policy === "error" && context.isCheck !== true) {
    throw new QuarryError("DATA", describeFinding(finding), {
      hint: isOption ? finding.hint : `${finding.hint} Or set validation.${kind} to "warn" or "drop".`,
    });
  }
}
