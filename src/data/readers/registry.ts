/** Readers that a user's script brings along, for files that no built-in format reads. */
import { createHash } from "node:crypto";
import { QuarryError } from "../../errors.js";
import { builtInFormats } from "./built-in.js";
import type { Format, Role } from "./reader.js";
import { registeredFormat } from "./registered-format.js";

/** A file as a registered reader sees it. */
export interface ReaderFile {
  /** Absolute path. */
  readonly path: string;
  readonly role: Role;
  /** The lines that are not empty: unzipped, valid UTF-8, without line end and byte order mark; `line` counts from 1. */
  lines(): AsyncIterable<{ readonly text: string; readonly line: number }>;
  /** The content, unzipped, in pieces of any length. */
  bytes(): AsyncIterable<Uint8Array>;
}

/** A passage or query as a registered reader gives it. */
export interface ReaderText {
  readonly id: string;
  readonly title?: string | null | undefined;
  readonly text: string;
  /** A prompt of the record's own, put in front instead of the source's or the model's. */
  readonly prompt?: string | null | undefined;
  /** Further fields by name; those that the source's `extras` ask for travel to plugins. */
  readonly extras?: Readonly<Record<string, unknown>> | undefined;
  /** Where it stands, from 1; default: the line that `lines()` gave last, else the number of the record. */
  readonly line?: number | undefined;
}

/** A judgement as a registered reader gives it. */
export interface ReaderJudgement {
  readonly queryId: string;
  readonly passageId: string;
  readonly score: number;
  readonly line?: number | undefined;
}

/** A query id as a registered reader gives it. */
export type ReaderId = string | { readonly id: string; readonly line?: number | undefined };

type Records<T> = AsyncIterable<T> | Iterable<T>;

/** What `registerReader` takes; at least one of texts, judgements and ids. */
export interface ReaderOptions {
  /** What the option `format` calls it. */
  readonly name: string;
  /** Raise it when what the reader gives changes in a way that its own source does not show. */
  readonly version?: string | number;
  /** Whether it reads a file that names no format. `fileName` is the lower-case path without `.gz`, `head` up to 64 KiB. */
  readonly matches?: (fileName: string, head: string) => boolean;
  readonly texts?: (file: ReaderFile) => Records<ReaderText>;
  readonly judgements?: (file: ReaderFile) => Records<ReaderJudgement>;
  readonly ids?: (file: ReaderFile) => Records<ReaderId>;
}

/** Raised when the same values of a reader make other records: 2 leaves out extras that are null. */
const RECORDS_VERSION = 2;

/** By name. Only the main thread has them, which ran the user's script; all readers run there. */
const registered = new Map<string, Format>();

/** @internal The registered formats, in the order in which they were registered. */
export function registeredFormats(): readonly Format[] {
  return [...registered.values()];
}

/**
 * Makes a reader known: for files that name it as their `format`, and for those that its `matches` recognises. It comes
 * before the built-in formats. What it gives is checked as any file is, and cached: name, version and the source of its
 * functions are part of the key, so that a changed reader reads anew.
 *
 * @throws QuarryError CONFIG for a name that is taken and for options of the wrong type.
 * @example
 * registerReader({
 *   name: "faq",
 *   version: 1,
 *   matches: (fileName) => fileName.endsWith(".faq"),
 *   async *texts(file) {
 *     for await (const { text, line } of file.lines()) {
 *       const [id = "", question = "", answer = ""] = text.split("|");
 *       yield { id, title: question, text: answer, line };
 *     }
 *   },
 * });
 */
export function registerReader(options: ReaderOptions): void {
  checkOptions(options);
  const { name } = options;
  const taken = [...builtInFormats, ...registered.values()].map((format) => format.name);
  if (taken.includes(name)) {
    throw new QuarryError("CONFIG", `registerReader: the name ${JSON.stringify(name)} is taken.`, {
      hint: `Choose another one than ${taken.join(", ")}.`,
    });
  }
  const version = `${options.version ?? 1} ${sourceHash(options)} ${RECORDS_VERSION}`;
  registered.set(name, registeredFormat({ ...options, version }));
}

const FUNCTIONS = ["matches", "texts", "judgements", "ids"] as const;

function checkOptions(options: ReaderOptions): void {
  const refuse = (message: string): never => {
    throw new QuarryError("CONFIG", `registerReader: ${message}.`, {
      hint: "It takes { name, version, matches, texts, judgements, ids }, with at least one of the last three.",
    });
  };
  if (typeof options !== "object" || options === null) refuse("an object was expected");
  const { name, version = 1 } = options;
  if (typeof name !== "string" || !/^\S{1,64}$/.test(name)) refuse("name must be a word of at most 64 characters");
  if (typeof version !== "string" && typeof version !== "number") refuse("version must be a text or a number");
  for (const each of FUNCTIONS) {
    if (options[each] !== undefined && typeof options[each] !== "function") refuse(`${each} must be a function`);
  }
  const unknown = Object.keys(options).filter((key) => !["name", "version", ...FUNCTIONS].includes(key));
  if (unknown.length > 0) refuse(`unknown option ${unknown[0]}`);
  if (options.texts === undefined && options.judgements === undefined && options.ids === undefined) {
    refuse("nothing to read: texts, judgements and ids are all missing");
  }
}

function sourceHash(options: ReaderOptions): string {
  const hash = createHash("sha256");
  for (const each of FUNCTIONS) hash.update(`${each}\0${options[each]?.toString() ?? ""}\0`);
  return hash.digest("hex").slice(0, 16);
}
