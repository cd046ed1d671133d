/** What the run has found so far: the loss with its course, and the latest measures as a small table. */
import { Box } from "ink";
import { ageWords, formatLearningRate, formatLoss, formatMeasure, sparkline } from "../format.js";
import { type LossHistory, lossPoints } from "../loss-history.js";
import type { ViewState } from "../state.js";
import { Cell, Line, Span } from "./line.js";

interface TrainingLineProps {
  readonly step: NonNullable<ViewState["training"]>;
  readonly losses: LossHistory;
  readonly columns: number;
}

/** loss 0.4213  lr 2.0e-5  grad 1.2  0.38 steps/s  waits 2 %  ▇▆▅▄▃▂▂▁ */
export function TrainingLine({ step, losses, columns }: TrainingLineProps) {
  const facts = [`lr ${formatLearningRate(step.learningRate)}`];
  if (step.gradNorm !== null) facts.push(`grad ${step.gradNorm.toPrecision(2)}`);
  if (step.stepsPerSecond !== null) facts.push(`${step.stepsPerSecond.toPrecision(2)} steps/s`);
  facts.push(`waits ${Math.round(step.waitShare * 100)} %`);
  if (step.negatives !== undefined) facts.push(ageWords(step.negatives));
  const text = facts.join("  ");
  const width = Math.min(60, columns - 17 - text.length);
  return (
    <Line>
      <Cell width={4} tone="quiet">
        loss
      </Cell>
      <Cell width={8} align="right" tone={Number.isFinite(step.loss) ? "strong" : "error"}>
        {formatLoss(step.loss)}
      </Cell>
      <Box marginLeft={1} marginRight={2}>
        <Span tone="quiet">{text}</Span>
      </Box>
      <Box flexShrink={0}>
        <Span tone="active">{width < 4 ? "" : sparkline(lossPoints(losses), width)}</Span>
      </Box>
    </Line>
  );
}

/** nDCG@10 0.4312  at step 60  best 0.4410 at step 40  ▁▃▅▇▆ */
export function CurveLine({ evaluations, columns }: Pick<ViewState, "evaluations"> & { readonly columns: number }) {
  const last = evaluations.at(-1);
  if (last === undefined) return null;
  const { measure, step, values, best } = last;
  const value = values[measure] ?? Number.NaN;
  const lead = best.step === step ? "the best so far" : `best ${formatMeasure(best.value)} at step ${best.step}`;
  const text = `at step ${step}  ${lead}`;
  const width = Math.min(60, columns - 13 - measure.length - text.length);
  const points = evaluations.map((each) => each.values[measure] ?? Number.NaN);
  return (
    <Line>
      <Cell width={measure.length} tone="quiet">
        {measure}
      </Cell>
      <Cell width={6} align="right" tone="strong">
        {formatMeasure(value)}
      </Cell>
      <Box marginLeft={1} marginRight={2}>
        <Span tone="quiet">{text}</Span>
      </Box>
      <Box flexShrink={0}>
        <Span tone="active">{width < 4 ? "" : sparkline(points, width)}</Span>
      </Box>
    </Line>
  );
}

/** The last sets of measures under a common heading; a measure that a set lacks stays blank. */
export function Measures(props: {
  readonly metrics: ViewState["metrics"];
  readonly lines: number;
  readonly columns: number;
}) {
  const shown = props.metrics.slice(-(props.lines - 1));
  const names = [...new Set(shown.flatMap(({ values }) => Object.keys(values)))];
  const width = Math.max(8, ...names.map((name) => name.length));
  const places = Math.max(1, Math.min(names.length, Math.floor((props.columns - 24) / (width + 1))));
  const labelWidth = Math.max(12, props.columns - places * (width + 1));
  return (
    <>
      <Line>
        <Cell width={labelWidth} tone="quiet">
          measures
        </Cell>
        {names.slice(0, places).map((name) => (
          <Cell key={name} width={width} align="right" tone="quiet">
            {name}
          </Cell>
        ))}
      </Line>
      {shown.map(({ phase, label, values }) => (
        <Line key={`${phase} ${label}`}>
          <Cell width={labelWidth}>{label}</Cell>
          {names.slice(0, places).map((name) => (
            <Cell key={name} width={width} align="right" tone="strong">
              {values[name] === undefined ? "" : formatMeasure(values[name])}
            </Cell>
          ))}
        </Line>
      ))}
    </>
  );
}
