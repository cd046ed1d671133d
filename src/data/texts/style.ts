/** How a source's texts are made: the prompt put in front, and the template that joins title and text. */
import { QuarryError } from "../../errors.js";
import type { SourceConfig } from "../../experiment/schema.js";

/** The pieces of a template: bytes as they are, and the places of title and text. */
export type Template = readonly (Uint8Array | "title" | "text")[];

/** Null: the model's own prompt; title and text joined as the worker joins them. */
export interface TextStyle {
  readonly prompt: Uint8Array | null;
  readonly template: Template | null;
  /** The source's name as a member of the JSON object of extras, `"source":"…"`; null where nobody asks for it. */
  readonly source: Uint8Array | null;
}

/** Texts as they are. */
export const PLAIN: TextStyle = { prompt: null, template: null, source: null };

/**
 * What a source says about the texts of one side.
 *
 * @throws QuarryError CONFIG for a template without {text}, or with another name in braces.
 */
export function styleOf(source: SourceConfig, side: "query" | "passage"): TextStyle {
  const prompt = source.prompts?.[side];
  const template = source.templates?.[side];
  const isNamed = source.extras?.sourceName === true;
  if (prompt === undefined && template === undefined && !isNamed) return PLAIN;
  return {
    prompt: prompt === undefined ? null : Buffer.from(prompt, "utf8"),
    template: template === undefined ? null : parse(template, side),
    source: isNamed ? Buffer.from(`"source":${JSON.stringify(source.name ?? "")}`, "utf8") : null,
  };
}

/** What of a style changes texts, for fingerprints; "" for texts as they are. */
export function styleKey(style: TextStyle): string {
  if (style.prompt === null && style.template === null && style.source === null) return "";
  const pieces = style.template?.map((piece) => (typeof piece === "string" ? { piece } : text(piece))) ?? null;
  const parts = [style.prompt === null ? null : text(style.prompt), pieces];
  return JSON.stringify(style.source === null ? parts : [...parts, text(style.source)]);
}

/** A text made by a template. */
export function fill(template: Template, title: Uint8Array, body: Uint8Array): Uint8Array {
  const pieces = template.map((piece) => (piece === "title" ? title : piece === "text" ? body : piece));
  return Buffer.concat(pieces);
}

/** A record's further fields with the source's name among them, where the style asks for it. */
export function withSource(style: TextStyle, own: Uint8Array | null): Uint8Array | null {
  if (style.source === null) return own;
  // The object of a record is never empty: it begins with its brace and goes on with a field.
  const rest = own === null ? CLOSE : Buffer.concat([COMMA, own.subarray(1)]);
  return Buffer.concat([OPEN, style.source, rest]);
}

const OPEN = Buffer.from("{");
const CLOSE = Buffer.from("}");
const COMMA = Buffer.from(",");

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}

function parse(template: string, side: string): Template {
  const pieces = template.split(/(\{[^{}]*\})/).filter((piece) => piece !== "");
  const parsed = pieces.map((piece): Uint8Array | "title" | "text" => {
    if (piece === "{title}") return "title";
    if (piece === "{text}") return "text";
    if (!/^\{[^{}]*\}$/.test(piece)) return Buffer.from(piece, "utf8");
    throw new QuarryError("CONFIG", `templates.${side}: there is no ${piece}.`, { hint: "Use {title} and {text}." });
  });
  if (parsed.includes("text")) return parsed;
  throw new QuarryError("CONFIG", `templates.${side}: ${JSON.stringify(template)} leaves the text out.`, {
    hint: 'Put {text} where the text belongs, e.g. "{title}: {text}".',
  });
}
