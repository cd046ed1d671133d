/** How a source's texts are made: the prompt put in front, and the template that joins title and text. */
import { QuarryError } from "../../errors.js";
import type { SourceConfig } from "../../experiment/schema.js";

/** The pieces of a template: bytes as they are, and the places of title and text. */
export type Template = readonly (Uint8Array | "title" | "text")[];

/** Null: the model's own prompt; title and text joined as the worker joins them. */
export interface TextStyle {
  readonly prompt: Uint8Array | null;
  readonly template: Template | null;
}

/** Texts as they are. */
export const PLAIN: TextStyle = { prompt: null, template: null };

/**
 * What a source says about the texts of one side.
 *
 * @throws QuarryError CONFIG for a template without {text}, or with another name in braces.
 */
export function styleOf(source: SourceConfig, side: "query" | "passage"): TextStyle {
  const prompt = source.prompts?.[side];
  const template = source.templates?.[side];
  if (prompt === undefined && template === undefined) return PLAIN;
  return {
    prompt: prompt === undefined ? null : Buffer.from(prompt, "utf8"),
    template: template === undefined ? null : parse(template, side),
  };
}

/** What of a style changes texts, for fingerprints; "" for texts as they are. */
export function styleKey(style: TextStyle): string {
  if (style.prompt === null && style.template === null) return "";
  const pieces = style.template?.map((piece) => (typeof piece === "string" ? { piece } : text(piece))) ?? null;
  return JSON.stringify([style.prompt === null ? null : text(style.prompt), pieces]);
}

/** A text made by a template. */
export function fill(template: Template, title: Uint8Array, body: Uint8Array): Uint8Array {
  const pieces = template.map((piece) => (piece === "title" ? title : piece === "text" ? body : piece));
  return Buffer.concat(pieces);
}

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
