/** The names that fields and columns go by in the wild, and which of them a file's options choose. */
import { QuarryError } from "../../errors.js";
import type { Role, SourceFile } from "./reader.js";

const ANY_ID = ["_id", "id"];
const PASSAGE_ID = ["docid", "doc_id", "passage_id", "passage-id", "pid", "corpus-id", "corpus_id"];
const QUERY_ID = ["query_id", "query-id", "qid"];
const SCORE = ["score", "label", "relevance", "rel"];

/** What a field is; the keys of the option `fields`. */
export type FieldName = "id" | "title" | "text" | "prompt" | "query" | "passage" | "score" | "extra";

/** A field that a role looks for. */
export interface WantedField {
  readonly field: FieldName;
  /** What messages call it. */
  readonly what: string;
  /** The names it goes by; one that the user chose stands alone. A number is a column's. */
  readonly names: readonly (string | number)[];
  readonly isNeeded: boolean;
  readonly isChosen: boolean;
}

/** Where extras begin among the fields of a text: behind id, text, title and prompt. */
export const FIRST_EXTRA = 4;

type Default = readonly [field: FieldName, what: string, isNeeded: boolean, names: readonly string[]];

const DEFAULTS: Readonly<Record<Role, readonly Default[]>> = {
  corpus: [
    ["id", "id", true, [...ANY_ID, ...PASSAGE_ID]],
    ["text", "text", true, ["text", "contents", "content", "passage"]],
    ["title", "title", false, ["title"]],
    ["prompt", "prompt", false, []],
  ],
  queries: [
    ["id", "id", true, [...ANY_ID, ...QUERY_ID]],
    ["text", "text", true, ["text", "query", "contents", "content"]],
    ["title", "title", false, ["title"]],
    ["prompt", "prompt", false, []],
  ],
  qrels: [
    ["query", "query id", true, QUERY_ID],
    ["passage", "passage id", true, PASSAGE_ID],
    ["score", "score", true, SCORE],
  ],
  ids: [["query", "query id", true, [...QUERY_ID, ...ANY_ID]]],
};

/** Records that hold all passages of a query: lists of ids and scores, under the names of one or of many. */
const GROUPED: readonly Default[] = [
  ["query", "query id", true, QUERY_ID],
  ["passage", "list of passage ids", true, [...PASSAGE_ID, "docids", "doc_ids", "passage_ids", "pids", "corpus_ids"]],
  ["score", "list of scores", true, [...SCORE, "scores", "labels"]],
];

/**
 * The fields of a role, in a fixed order, under the names that the file's options give them. A name chosen for one field
 * is no default of another one any more. Further fields that plugins get stand behind all others.
 *
 * @throws QuarryError CONFIG when the options name a field that the role does not have.
 */
export function wantedFields(file: SourceFile, role: Role, isGrouped = false): readonly WantedField[] {
  const chosen = new Map(Object.entries(file.fields ?? {}));
  // A list of query ids is as much a list of ids.
  if (role === "ids" && chosen.has("id") && !chosen.has("query")) {
    chosen.set("query", chosen.get("id") as string | number);
    chosen.delete("id");
  }
  const extras = role === "corpus" || role === "queries" ? (file.extras ?? []) : [];
  const taken = new Set([...chosen.values(), ...extras]);
  const wanted = (isGrouped ? GROUPED : DEFAULTS[role]).map(([field, what, isNeeded, names]): WantedField => {
    const own = chosen.get(field);
    chosen.delete(field);
    return own === undefined
      ? { field, what, isNeeded, isChosen: false, names: names.filter((name) => !taken.has(name)) }
      : { field, what, isNeeded: true, isChosen: true, names: [own] };
  });
  const unknown = [...chosen.keys()];
  if (unknown.length === 0) return [...wanted, ...extras.map(extraField)];
  throw new QuarryError("CONFIG", `${file.path}: fields.${unknown[0]} names nothing that ${roleName(role)} have.`, {
    hint: `Here fields may name ${wanted.map(({ field }) => field).join(", ")}.`,
  });
}

/** A further field that plugins get; it may be missing in some records. */
function extraField(name: string): WantedField {
  return { field: "extra", what: "extra field", names: [name], isNeeded: false, isChosen: true };
}

/** The fields of a role under the names in use. */
export function usualFields(role: Role): readonly WantedField[] {
  return wantedFields({ path: "", part: "all", scores: "labels" }, role);
}

/** What a role's records are called. */
export function roleName(role: Role): string {
  return { corpus: "passages", queries: "queries", qrels: "judgements", ids: "lists of query ids" }[role];
}

/** Where a field was looked for: `"_id", "id" or "docid"`. */
export function listNames({ names }: WantedField): string {
  const quoted = names.map((name) => JSON.stringify(name));
  return quoted.length < 2 ? quoted.join("") : `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`;
}

/** The fields that a record has, for messages. */
export function listSeen(seen: readonly string[]): string {
  if (seen.length === 0) return "none";
  const more = seen.length > 20 ? ` and ${seen.length - 20} more` : "";
  return seen.slice(0, 20).join(", ") + more;
}
