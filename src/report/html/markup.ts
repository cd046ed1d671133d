/** HTML whose values are escaped by construction: texts come from data, models and other people's scripts. */

/** Markup that is safe to stand in a page. */
export class Markup {
  constructor(readonly text: string) {}
}

type Content = string | number | null | undefined | false | Markup | readonly Content[];

/**
 * A template whose values are escaped, unless they are markup already; nothing stands for null, undefined and false.
 *
 * @example
 * html`<td>${query}</td>`
 */
export function html(parts: TemplateStringsArray, ...values: Content[]): Markup {
  return new Markup(parts.map((part, index) => part + (index < values.length ? textOf(values[index]) : "")).join(""));
}

function textOf(content: Content): string {
  if (content === null || content === undefined || content === false) return "";
  if (content instanceof Markup) return content.text;
  if (typeof content === "string" || typeof content === "number") return escaped(String(content));
  return content.map(textOf).join("");
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(text: string): string {
  // Control characters are no characters of HTML; a browser would show nothing, or what they hide.
  return text.replace(/[&<>"']/g, (found) => entities[found] as string).replace(/[^\P{Cc}\n\t]/gu, "\ufffd");
}
