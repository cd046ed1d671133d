/** How a replayed step is printed: what it is, its losses, then each micro-step query by query. */
import { counted } from "../../counted.js";
import type { ReplayedMicroStep, ReplayedStep, ShownGroup } from "../../index.js";
import { formatCount } from "../../report/format.js";
import { cut, type Layout, layoutOf, plain, value } from "../data/layout.js";

interface Options {
  /** Null where there was nothing to compare. */
  readonly isSameLoss: boolean | null;
  readonly tolerance: number;
  readonly hasTexts: boolean;
}

/** The head, then the micro-steps. */
export function describeReplay(step: ReplayedStep, options: Options): string {
  const layout = layoutOf(process.stdout, false);
  const { worldSize, queriesPerRank, accumulationSteps } = step.layout;
  const head = [
    `step ${formatCount(step.step)} of ${plain(step.runDir, layout)}, seed ${step.seed}`,
    `${counted(worldSize, "ranks")} × ${counted(queriesPerRank, "queries")} × ${counted(accumulationSteps, "micro-steps")}, ${counted(step.passagesPerQuery, "passages")} a query`,
    `rows ${step.rows}${sameBatch(step)}`,
    ...lossLines(step, options),
    ...step.editedPlugins.map((plugin) => `plugin ${plugin} was EDITED since: the run was trained with other code`),
  ];
  return [head.join("\n"), ...step.microSteps.map((micro) => microLines(micro, layout, options).join("\n"))].join(
    "\n\n",
  );
}

function sameBatch({ isSameBatch, recorded }: ReplayedStep): string {
  if (isSameBatch === true) return ", as recorded";
  if (isSameBatch === false) return `, NOT as recorded (${recorded?.rows})`;
  return recorded === null ? "; the step was not done" : "; none were recorded";
}

function lossLines({ loss, recorded }: ReplayedStep, { isSameLoss, tolerance }: Options): string[] {
  if (loss === null) return recorded === null ? [] : [`loss ${recorded.loss} as recorded`];
  const from = loss.from === null ? "the model as it was" : (loss.from.split("/").at(-1) ?? loss.from);
  const found = `loss ${loss.loss}, ${counted(loss.steps.length, "steps")} from ${from} on ${loss.device}`;
  if (recorded === null) return [found];
  const difference = Math.abs(loss.loss - recorded.loss).toExponential(2);
  const verdict = isSameLoss === true ? "the same" : "NOT the same";
  return [found, `recorded ${recorded.loss}, |Δ| ${difference}: ${verdict} within ${tolerance}`];
}

function microLines(micro: ReplayedMicroStep, layout: Layout, { hasTexts }: Options): string[] {
  return [
    `── micro-step ${micro.microStep} `.padEnd(layout.width, "─"),
    ...micro.groups.flatMap((group, at) => groupLines(group, micro.maskedColumns[at] ?? [], layout, hasTexts)),
  ];
}

function groupLines(
  { query, passages }: ShownGroup,
  masked: readonly number[],
  layout: Layout,
  hasTexts: boolean,
): string[] {
  const place = ({ file, line }: { file: string; line: number }): string => plain(`${file}:${line}`, layout);
  const text = (shown: string): string[] => (hasTexts ? [cut(shown, 6, layout)] : []);
  return [
    `query ${query.id}  ${place(query.origin)}${masked.length === 0 ? "" : `  masked columns ${masked.join(" ")}`}`,
    ...text(query.text),
    ...passages.flatMap((passage) =>
      passage.role === "padding"
        ? ["  padding"]
        : [
            `  ${passage.role} ${passage.id}  label ${value(passage.label)}  ${place(passage.origin)}`,
            ...text(`${passage.title} ${passage.text}`.trim()),
          ],
    ),
  ];
}
