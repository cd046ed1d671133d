/** Finds the format of a file: the one it names, else the first that recognises its name and beginning. */
import { QuarryError } from "../../errors.js";
import { editDistance } from "../../nearest.js";
import { fileError } from "../failures.js";
import { builtInFormats } from "./built-in.js";
import { roleName } from "./field-names.js";
import { loadParquet } from "./parquet-file.js";
import type { FileOption, Format, Role, Sample, SourceFile } from "./reader.js";
import { shorten } from "./records.js";
import { registeredFormats } from "./registry.js";
import { gzipFault, takeSample } from "./sample.js";

const METHODS = { corpus: "readTexts", queries: "readTexts", qrels: "readJudgements", ids: "readIds" } as const;

/**
 * The format of a file in a role. Takes the sample that decides (one read of 64 KiB) only when none is named.
 *
 * @throws QuarryError CONFIG when the file is missing, nobody recognises it, the named format does not exist or has
 * nothing for this role, or an option means nothing to it; DATA for an empty file whose name says nothing.
 */
export async function formatOf(file: SourceFile, role: Role): Promise<Format> {
  if (file.path.toLowerCase().endsWith(".parquet")) await loadParquet();
  const format = file.format === undefined ? recognise(file, role) : formatNamed(file.format, file.path);
  if (format[METHODS[role]] === undefined) {
    throw new QuarryError("CONFIG", `${file.path}: the format ${format.name} holds no ${roleName(role)}.`, {
      hint: `Formats of ${roleName(role)} are ${formatsFor(role)}.`,
    });
  }
  checkOptions(file, format);
  // A prompt's column makes any format one with prompts.
  const hasColumn = file.fields?.["prompt"] !== undefined;
  return hasColumn && (format.hasPrompts ?? false) === false ? { ...format, hasPrompts: true } : format;
}

/**
 * The format of this name, built in or registered.
 *
 * @throws QuarryError CONFIG for an unknown name, with the nearest ones.
 */
export function formatNamed(name: string, path = "format"): Format {
  const formats = [...registeredFormats(), ...builtInFormats];
  const found = formats.find((format) => format.name === name);
  if (found !== undefined) return found;
  const names = formats.map((format) => format.name);
  const near = names
    .filter((each) => each.includes(name) || name.includes(each) || editDistance(each, name) <= 1 + name.length / 4)
    .sort((one, other) => editDistance(one, name) - editDistance(other, name));
  const meant = near.length === 0 ? "" : ` Did you mean ${near.slice(0, 3).join(" or ")}?`;
  throw new QuarryError("CONFIG", `${path}: unknown format ${JSON.stringify(name)}.${meant}`, {
    hint: `Formats are ${names.join(", ")}; registerReader adds one.`,
  });
}

/** What of a file's options changes what is read from it: part of the key of cached data. */
export function formatKey(format: Format, file: SourceFile): string {
  const { path: _path, format: _format, ...options } = file;
  return JSON.stringify([format.name, format.version, options]);
}

function recognise(file: SourceFile, role: Role): Format {
  const sample = takeSample(file.path);
  const format = [...registeredFormats(), ...builtInFormats].find(
    (each) => each[METHODS[role]] !== undefined && each.matches(sample, role, file),
  );
  if (format !== undefined) return format;
  const fault = sample.head.byteLength === 0 ? gzipFault(file.path) : "";
  if (fault !== "") {
    throw fileError(file.path, `the gzip data is damaged (${fault}).`, "Make or copy the file again.");
  }
  if (sample.head.byteLength === 0 && !sample.isCut) {
    throw fileError(file.path, "the file is empty.", "Give a file with at least one record.");
  }
  throw new QuarryError(
    "CONFIG",
    `${file.path}: nothing tells how its ${roleName(role)} are to be read; ${seen(sample)}.`,
    {
      hint: `Name a format with { path, format }: ${formatsFor(role)}; or add one with registerReader.`,
    },
  );
}

const PACKED: readonly [name: string, magic: readonly number[]][] = [
  ["Zstandard", [0x28, 0xb5, 0x2f, 0xfd]],
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58]],
  ["zip", [0x50, 0x4b, 0x03, 0x04]],
];

function seen({ head }: Sample): string {
  const packed = PACKED.find(([, magic]) => magic.every((byte, index) => head[index] === byte));
  if (packed !== undefined) return `it is packed as ${packed[0]}, and only gzip is read`;
  if (head.includes(0)) return "it begins with binary data";
  const [first = ""] = head.toString("utf8").trimStart().split(/\r?\n/, 1);
  return `it begins with ${JSON.stringify(shorten(first, 80))}`;
}

function formatsFor(role: Role): string {
  const formats = [...registeredFormats(), ...builtInFormats].filter((each) => each[METHODS[role]] !== undefined);
  return formats.map(({ name }) => name).join(", ");
}

function checkOptions(file: SourceFile, format: Format): void {
  if (format.options === undefined) return;
  const given: readonly (FileOption | false)[] = [
    file.fields !== undefined && "fields",
    file.header !== undefined && "header",
    file.delimiter !== undefined && "delimiter",
    file.part !== "all" && "part",
    file.scores !== "labels" && "scores",
    file.extras !== undefined && "extras",
  ];
  for (const option of given) {
    if (option === false || format.options.includes(option)) continue;
    const takes = format.options.length === 0 ? "no options" : `the options ${format.options.join(", ")}`;
    throw new QuarryError("CONFIG", `${file.path}: ${option} means nothing in the format ${format.name}.`, {
      hint: `This format takes ${takes}; if the file is in another one, name it with { path, format }.`,
    });
  }
}
