/** `quarry inspect`: what a checkpoint promises, and what is registered under which name, plugins' included. */
import { relative, resolve } from "node:path";
import { Command } from "commander";
import type { ModelReport, RegisteredComponent } from "../python/introspect.js";
import { formatBytes, formatCount } from "../report/format.js";
import { oneLine } from "../report/text-width.js";
import { unfitFlag } from "./failure.js";
import { print } from "./print.js";

interface Flags {
  readonly revision?: string;
  readonly trustRemoteCode?: boolean;
  readonly plugin?: readonly string[];
  readonly timeout?: string;
  readonly json?: boolean;
}

/** Makes the command. */
export function inspectCommand(): Command {
  return new Command("inspect")
    .description("Show how a checkpoint makes vectors, and which losses, poolings and the like there are.")
    .argument("[model]", "Hugging Face model id or folder; without it, only losses, poolings and the like")
    .option("--revision <name>", "commit, tag or branch on the hub")
    .option("--trust-remote-code", "allow the checkpoint's own code; needs a commit as revision")
    .option("--plugin <file...>", "Python files: what they register is known, and listed as well")
    .option("--timeout <seconds>", "how long Python may take (default: 120)")
    .option("--json", "write JSON")
    .option("--debug", "show the trace of an error")
    .action(inspect);
}

async function inspect(model: string | undefined, flags: Flags): Promise<void> {
  const timeoutMs = Number(flags.timeout ?? 120) * 1000;
  // What a timer of Node can wait ends at 2^31 ms.
  if (!(timeoutMs > 0 && timeoutMs <= 2e9))
    throw unfitFlag("inspect", "timeout", "a number above 0, at most 2000000", `${flags.timeout}`);
  const [{ inspectModel, listRegistered }, { nameInScripts }] = await Promise.all([
    import("../python/introspect.js"),
    import("../python/declarations.js"),
  ]);
  const { revision, trustRemoteCode } = flags;
  const plugins = (flags.plugin ?? []).map((file) => resolve(file));
  const report =
    model === undefined
      ? null
      : await inspectModel(model, {
          ...{ timeoutMs, plugins },
          ...(revision === undefined ? {} : { revision }),
          ...(trustRemoteCode === undefined ? {} : { trustRemoteCode }),
        });
  const registered = await listRegistered({ timeoutMs, plugins });
  print(flags.json, { model: report, ...registered }, () => {
    const parts = report === null ? [] : [describeModel(report)];
    const lists = Object.entries(registered).map(([title, found]) => components(title, found, nameInScripts));
    return [...parts, ...lists].join("\n\n");
  });
}

const FOR_PAIRS =
  "it scores pairs, for crossEncoder(…); below stands what biEncoder(…) makes of it, without its classifier";

/** Whether a checkpoint was saved with a classifier, and nothing beside it says how to make vectors. */
function isClassifier({ architecture, layout }: ModelReport): boolean {
  return layout === "transformers" && architecture.endsWith("ForSequenceClassification");
}

function describeModel(report: ModelReport): string {
  const tokenizer = report.tokenizerClass === "" ? "the checkpoint's" : report.tokenizerClass;
  const prompt = (text: string): string => (text === "" ? "none" : JSON.stringify(text));
  const rows: [string, string][] = [
    ["model", report.checkpoint],
    ["folder", `${report.path} (${report.layout} layout)`],
    ["architecture", `${report.architecture} (${report.modelType})`],
    ...(isClassifier(report) ? ([["as it is", FOR_PAIRS]] satisfies [string, string][]) : []),
    ["parameters", `${formatCount(report.parameterCount)}, ${formatBytes(report.weightBytes)} of weights`],
    ["dtype", report.dtype],
    ...(report.adapter === null ? [] : ([["adapter of", report.adapter]] satisfies [string, string][])),
    ["towers", report.towers === "tied" ? "one for both sides" : "queries and passages apart"],
    ["dimension", String(report.dimension)],
    ["pooling", [report.pooling, ...report.head].join(", then ")],
    ["normalisation", report.normalize ? "length 1" : "none"],
    ["similarity", report.similarity],
    ...(report.chatTemplate
      ? ([["texts", "in the chat template, prompts as its system's message"]] satisfies [string, string][])
      : []),
    ["query prompt", prompt(report.queryPrompt)],
    ["passage prompt", prompt(report.passagePrompt)],
    ["maximum length", `query ${report.queryMaxLength}, passage ${report.passageMaxLength} tokens${limit(report)}`],
    ["tokenizer", report.isLowerCase ? `${tokenizer}, text lower-cased first` : tokenizer],
    ["BOS", special(report, "bos")],
    ["EOS", report.appendEos ? "put behind each text once" : special(report, "eos")],
    ["padding side", report.paddingSide],
    ["padding token", report.pad === null ? "none" : `${report.pad.text} (id ${report.pad.id})`],
  ];
  return rows.map(([label, value]) => `${label.padEnd(16)}${oneLine(value)}`).join("\n");
}

function special(report: ModelReport, name: "bos" | "eos"): string {
  const token = report[name];
  if (token === null) return "none";
  const text = `${token.text} (id ${token.id})`;
  if (report.chatTemplate) return `${text}, where the chat template has it`;
  return `${text}, ${token.isAdded ? "" : "not "}put ${name === "bos" ? "before" : "behind"} each text`;
}

function limit({ positionLimit }: ModelReport): string {
  // A million stands for no limit at all.
  return positionLimit >= 1_000_000 ? "" : ` (positions allow ${positionLimit})`;
}

/** Options as a script has them: their names in camelCase, their types in TypeScript. */
function components(
  title: string,
  found: readonly RegisteredComponent[],
  nameInScripts: (name: string, options: RegisteredComponent["options"]) => string,
): string {
  const lines = found.flatMap(({ name, sentence, origin, options }) => [
    `  ${name}${from(origin)}${sentence === "" || sentence === name ? "" : `: ${sentence}`}`,
    ...options.map((option) => {
      const value = option.isRequired ? "required" : `default ${option.defaultText ?? JSON.stringify(option.default)}`;
      return `    ${nameInScripts(option.name, options)} (${option.typescript}, ${value})${option.sentence === "" ? "" : `: ${option.sentence}`}`;
    }),
  ]);
  return [title, ...(lines.length === 0 ? ["  none"] : lines)].join("\n");
}

/** Where a plugin's component comes from; what comes with Quarry needs no word. */
function from(origin: string): string {
  if (origin === "built-in") return "";
  const near = relative(process.cwd(), origin);
  return ` (${near.startsWith("..") ? origin : near})`;
}
