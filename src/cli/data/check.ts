/** How the faults of an experiment's data are told. */
import { counted } from "../../counted.js";
import type { CheckedFault, CheckedProblem, CheckReport } from "../../index.js";
import { formatCount } from "../../report/format.js";
import { alignedLines } from "../../report/text-width.js";
import { cut, type Layout, plain } from "./layout.js";

const OUTCOME = {
  error: "error: a run stops here",
  warn: "warn: a run tells this and goes on",
  drop: "drop: a run goes on silently",
} as const;

/** Sources, then what cannot be used, then faults (those that stop a run first), then the verdict. */
export function describeCheck(name: string, report: CheckReport, layout: Layout): string {
  const { sources, problems, notes } = report;
  const order = ["error", "warn", "drop"];
  const faults = [...report.faults].sort((one, other) => order.indexOf(one.policy) - order.indexOf(other.policy));
  const parts = [
    ...(sources.length === 0 ? [] : [sourceTable(report)]),
    ...problems.map((problem) => problemLines(problem, layout)),
    ...faults.map((fault) => faultLines(fault, layout)),
    ...(notes.length === 0 ? [] : [["also", ...notes.flatMap((note) => noteLines(note, layout))]]),
    [verdict(name, report)],
  ];
  return parts.map((lines) => lines.join("\n")).join("\n\n");
}

function sourceTable({ sources }: CheckReport): string[] {
  return alignedLines([
    ["source", "passages", "queries", "judgements"],
    ...sources.flatMap(({ options, name, ...counts }) => {
      const numbers = [counts.passages, counts.queries, counts.judgements].map(formatCount);
      return options.map((option, at) => [
        `${option}${name === null ? "" : ` (${name})`}`,
        ...(at === 0 ? numbers : ["", "", "as above"]),
      ]);
    }),
  ]);
}

function problemLines({ option, message, hint }: CheckedProblem, layout: Layout): string[] {
  return [
    `error: ${option} cannot be used`,
    ...message.split("\n").map((line) => `  ${plain(line, layout)}`),
    ...(hint === null ? [] : [`  → ${plain(hint, layout)}`]),
  ];
}

/** A note's own lines stand further in than its first. */
function noteLines(note: string, layout: Layout): string[] {
  return note.split("\n").map((line, at) => `${at === 0 ? "  " : "    "}${plain(line, layout)}`);
}

function faultLines(fault: CheckedFault, layout: Layout): string[] {
  const {
    kind,
    subject,
    words: [one, many],
    examples,
    hint,
    policy,
    options,
  } = fault;
  const more = fault.count - examples.length;
  return [
    `${kind === "tooFew" || kind === "merge" ? `${kind} "error"` : kind}: ${counted(fault.count, many, one)}`,
    `  in ${plain(subject, layout)} (${options.join(", ")})`,
    `  ${OUTCOME[policy]}`,
    ...exampleLines(examples, subject, layout),
    ...(more > 0 && examples.length > 0 ? [`    and ${formatCount(more)} more`] : []),
    `  → ${plain(hint, layout)}`,
  ];
}

/** The file once, unless it has just been named, then its lines. */
function exampleLines(examples: CheckedFault["examples"], subject: string, layout: Layout): string[] {
  let file = subject;
  return examples.flatMap(({ place, detail }) => {
    const [, path = "", line = ""] = /^(.*):(\d+)$/s.exec(place) ?? [];
    const head = path === file || path === "" ? [] : [`    ${plain(path, layout)}`];
    file = path;
    return [...head, cut(line === "" ? detail : `line ${line}: ${detail}`, path === subject ? 4 : 6, layout)];
  });
}

function verdict(name: string, { isSound, faults, problems }: CheckReport): string {
  if (!isSound) {
    const kinds = [...new Set(faults.filter(({ policy }) => policy === "error").map(({ kind }) => kind))];
    const reasons = [
      ...(problems.length > 0 ? [`${problems.map(({ option }) => option).join(", ")} cannot be used`] : []),
      ...(kinds.length > 0 ? [kinds.join(", ")] : []),
    ];
    const overrides = kinds.map((kind) => `--validation.${kind} warn`).join(" ");
    // What tooFew and merge refuse, no policy lets pass.
    const hasOverride = problems.length === 0 && !kinds.includes("tooFew") && !kinds.includes("merge");
    const wayOut = hasOverride ? `\nTo go on in spite of it: ${overrides}` : "";
    return `${name}: a run would stop: ${reasons.join("; ")}.${wayOut}`;
  }
  return faults.length === 0 ? `${name}: no faults.` : `${name}: nothing here stops a run.`;
}
