/** Writes what plugins register as a .d.ts that adds to the tables of src/experiment/plugin-types.ts. */
import { relative } from "node:path";
import type { Registered, RegisteredComponent } from "./introspect.js";

/** Each kind's table; similarities have no options and stay plain names. */
const TABLES = {
  losses: "LossOptions",
  encoders: "EncoderOptions",
  poolings: "PoolingOptions",
  retrievers: "RetrieverOptions",
} as const;

/**
 * The text of a .d.ts with which a wrong option of a plugin's loss or encoder is a compile error.
 *
 * @param folder paths of plugins are written as seen from here
 */
export function pluginDeclarations(registered: Registered, folder: string): string {
  const tables = Object.entries(TABLES).flatMap(([kind, table]) => {
    const own = registered[kind as keyof typeof TABLES].filter(({ origin }) => origin !== "built-in");
    if (own.length === 0) return [];
    // Options stand beside the name of a loss or retriever, and apart from an encoder's: there none is allowed.
    const none = kind === "losses" || kind === "retrievers" ? "Record<never, never>" : "Record<string, never>";
    return [`  interface ${table} {`, ...own.flatMap((each) => member(each, folder, none)), "  }"];
  });
  return [
    "/** What plugins register, for the compiler and the editor. Written by `quarry types`; do not edit. */",
    'import "quarry";',
    "",
    'declare module "quarry" {',
    ...tables,
    "}",
    "",
  ].join("\n");
}

function member({ name, sentence, origin, options }: RegisteredComponent, folder: string, none: string): string[] {
  const head = `    ${comment(`${sentence} (${relative(folder, origin)})`)}`;
  if (options.length === 0) return [head, `    ${key(name)}: ${none};`];
  const fields = options.flatMap((option) => {
    const fallback = option.isRequired ? "" : ` @defaultValue ${option.defaultText ?? JSON.stringify(option.default)}`;
    const text = `${option.sentence}${fallback}`.trim();
    const mark = option.isRequired ? "" : "?";
    const type = option.isRequired ? option.typescript : `${option.typescript} | undefined`;
    return [
      ...(text === "" ? [] : [`      ${comment(text)}`]),
      `      ${nameInScripts(option.name, options)}${mark}: ${type};`,
    ];
  });
  return [head, `    ${key(name)}: {`, ...fields, "    };"];
}

function comment(text: string): string {
  return `/** ${text.replaceAll("*/", "*\\/").replaceAll(/\s+/g, " ")} */`;
}

/** A name as a property: quoted where it is no identifier. */
function key(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}

/** Options are written in camelCase in scripts; Python takes both. */
export function nameInScripts(name: string, options: RegisteredComponent["options"]): string {
  const camel = name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  // Of `k_2` and `k2` the first keeps the name that Python has for it.
  return camel !== name && options.some((other) => other.name === camel) ? name : camel;
}
