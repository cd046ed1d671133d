/** How a training step's batch is printed: each query with its passages, where each text stands and who judged it. */
import { counted } from "../../counted.js";
import type { ShownGroup, ShownPassage, ShownStep, ShownText } from "../../index.js";
import { formatCount } from "../../report/format.js";
import { cut, type Layout, plain, value } from "./layout.js";

/** The step, then its groups. */
export function describeStep(step: ShownStep, layout: Layout): string {
  const { globalBatchSize, passagesPerQuery, groups } = step;
  const epochs = [...new Set(groups.map(({ epoch }) => epoch))];
  const masked = groups
    .flatMap(({ passages }) => passages)
    .filter(({ maskedFor, role }) => maskedFor > 0 && role !== "padding").length;
  const head = [
    `step ${formatCount(step.step)} with seed ${step.seed}: ${counted(globalBatchSize, "queries")} × ${counted(passagesPerQuery, "passages")}`,
    `epoch ${epochs.join(" and ")}; an epoch has ${counted(step.stepsPerEpoch, "steps")}`,
    `${counted(masked, "passages are", "passage is")} masked for some query of the step`,
    ...(step.maskedPositives === 0
      ? []
      : [`${counted(step.maskedPositives, "times")} as a known positive of that query, or a copy of one`]),
  ];
  return [
    head.join("\n"),
    ...groups.map((group, at) => groupLines(group, at, globalBatchSize, layout).join("\n")),
  ].join("\n\n");
}

function groupLines(
  { place, epoch, part, query, passages }: ShownGroup,
  at: number,
  size: number,
  layout: Layout,
): string[] {
  return [
    cut(
      `── group ${at + 1} of ${size}, place ${formatCount(place)}, epoch ${epoch}, ${plain(part, layout)} `.padEnd(
        layout.width,
        "─",
      ),
      0,
      layout,
    ),
    ...textLines(`query ${query.id}`, query, layout, []),
    ...passages.flatMap((passage) => passageLines(passage, size, layout)),
  ];
}

function passageLines(passage: ShownPassage, size: number, layout: Layout): string[] {
  const { role, id, label, judged, maskedFor } = passage;
  if (role === "padding") return ["padding"];
  return textLines(`${role} ${id}, label ${value(label)}`, passage, layout, [
    ...(judged === null ? [] : [`judged ${judged.origin.file}:${judged.origin.line} (${judged.source})`]),
    ...(maskedFor === 0 ? [] : [`masked for ${maskedFor} of ${counted(size, "queries")}`]),
  ]);
}

function textLines(head: string, text: ShownText, layout: Layout, facts: readonly string[]): string[] {
  const { origin, title, prompt, extras } = text;
  return [
    plain(head, layout),
    ...[`text   ${origin.file}:${origin.line}`, ...facts].map((fact) => `  ${plain(fact, layout)}`),
    ...(prompt === null ? [] : [cut(`prompt: ${prompt}`, 4, layout)]),
    ...(extras === undefined ? [] : [cut(`extras: ${JSON.stringify(extras)}`, 4, layout)]),
    ...(title === "" ? [] : [cut(title, 4, layout)]),
    cut(text.text, 4, layout),
  ];
}
