/** Phases: the finished ones in a line each, the running ones with a bar, a rate and the time that is left. */
import { Box } from "ink";
import { doneOf, formatClock, formatDuration, formatRate, formatShare, progressBar } from "../format.js";
import { type PhaseView, phaseEta, phaseRate } from "../state.js";
import { Cell, Line, Span } from "./line.js";

/** ✓ evaluate test    5,183 passages   27 s   190/s */
export function FinishedPhase({ phase, columns }: { readonly phase: PhaseView; readonly columns: number }) {
  const rate = phaseRate({ ...phase, ratePerSecond: null }, phase.updatedAt);
  const hasRate = columns >= 72;
  return (
    <Line>
      <Cell width={1} tone="good">
        ✓
      </Cell>
      <Cell width={Math.max(8, columns - (hasRate ? 44 : 34))}>{phase.label}</Cell>
      <Cell width={18} align="right" tone="quiet">
        {phase.isCached ? "in the cache" : doneOf({ ...phase, total: null })}
      </Cell>
      <Cell width={12} align="right" tone="quiet">
        {formatDuration(phase.seconds ?? 0)}
      </Cell>
      {hasRate && (
        <Cell width={9} align="right" tone="quiet">
          {rate === null ? "" : formatRate(rate)}
        </Cell>
      )}
    </Line>
  );
}

interface ActivePhaseProps {
  readonly phase: PhaseView;
  readonly columns: number;
  readonly now: number;
}

/** Two lines: what is done and for how long, then the bar. */
export function ActivePhase({ phase, columns, now }: ActivePhaseProps) {
  const { done, total } = phase;
  const rate = phaseRate(phase, now);
  const eta = phaseEta(phase, now);
  const share = total === null || total === 0 ? null : done / total;
  // As wide as it will ever get, so that the bar keeps its length while the count grows.
  const countWidth = doneOf({ done: total ?? done, total: total ?? done, unit: phase.unit }).length;
  const bar = progressBar(share ?? 0, Math.min(60, Math.max(8, columns - 37 - countWidth)));
  return (
    <Box flexDirection="column" width={columns}>
      <Line>
        <Cell width={1} tone="active">
          ▸
        </Cell>
        <Box flexGrow={1} marginRight={1}>
          <Span tone="strong">{phase.label}</Span>
        </Box>
        <Box flexShrink={0}>
          <Span tone="quiet">{formatClock((now - phase.startedAt) / 1000)}</Span>
        </Box>
      </Line>
      <Line>
        <Box flexShrink={0} marginLeft={2} marginRight={1}>
          <Span tone="active">{bar.done}</Span>
          <Span tone="quiet">{bar.rest}</Span>
        </Box>
        <Cell width={5} align="right" tone="strong">
          {share === null ? "" : formatShare(share)}
        </Cell>
        <Cell width={countWidth} align="right">
          {doneOf(phase)}
        </Cell>
        <Cell width={9} align="right">
          {rate === null ? "" : formatRate(rate)}
        </Cell>
        <Span tone="quiet">{eta === null ? "" : `${formatDuration(eta)} left`}</Span>
      </Line>
    </Box>
  );
}
