/** One frame of the dashboard: a pure function of the view, the moment and the size of the terminal. */
import { Box } from "ink";
import type { ReactNode } from "react";
import { formatClock } from "../format.js";
import type { Notice, ViewState } from "../state.js";
import { activePhases, layOut, visibleWorkers } from "./layout.js";
import { Line, Span, ThemeContext } from "./line.js";
import { ActivePhase, FinishedPhase } from "./phases.js";
import { CurveLine, Measures, TrainingLine } from "./results.js";
import type { Theme } from "./theme.js";
import { Workers } from "./workers.js";

export interface DashboardProps {
  readonly view: ViewState;
  readonly columns: number;
  readonly rows: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly theme: Theme;
  /** Whether the user has asked to stop. */
  readonly isStopping: boolean;
  /** Whether keys are read; without them Ctrl-C is a signal and stops as well. */
  readonly hasKeys: boolean;
}

function Header({ view, now }: Pick<DashboardProps, "view" | "now">) {
  const { run } = view;
  const steps = run === null ? "" : run.steps.join(" → ");
  return (
    <Line>
      <Box flexGrow={1} marginRight={2}>
        <Box flexShrink={0} marginRight={2}>
          <Span tone="strong">quarry</Span>
        </Box>
        <Box marginRight={2}>
          <Span tone="active">{run === null ? "starting" : run.name}</Span>
        </Box>
        <Span tone="quiet">{run?.isResumed ? `resumed  ${steps}` : steps}</Span>
      </Box>
      <Box flexShrink={0}>
        <Span tone="quiet">{run === null ? "" : formatClock((now - run.startedAt) / 1000)}</Span>
      </Box>
    </Line>
  );
}

const MARKS = { note: "→ note", warning: "! warning", error: "✗ error" } as const;

function NoticeLine({ notice }: { readonly notice: Notice }) {
  const times = notice.count > 1 ? ` (${notice.count} times)` : "";
  const hint = notice.hint === null ? "" : ` (${notice.hint})`;
  return (
    <Line>
      <Box flexShrink={0} marginRight={1}>
        <Span tone={notice.level === "note" ? "active" : notice.level}>{MARKS[notice.level]}</Span>
      </Box>
      <Span>{`${notice.text}${times}${hint}`}</Span>
    </Line>
  );
}

function Footer({ view, isStopping, hasKeys }: Pick<DashboardProps, "view" | "isStopping" | "hasKeys">) {
  const key = hasKeys ? "q" : "Ctrl-C";
  return (
    <Line>
      <Box flexGrow={1} marginRight={2}>
        <Span tone="quiet" cut="middle">
          {view.run?.runDir ?? ""}
        </Span>
      </Box>
      <Box flexShrink={0}>
        <Span tone={isStopping ? "warning" : "quiet"}>
          {isStopping ? `stopping and saving · ${key} again: stop now` : `${key}: stop and save`}
        </Span>
      </Box>
    </Line>
  );
}

/** Never higher than `rows - 1` lines, nor wider than `columns`. */
export function Dashboard({ view, columns, rows, now, theme, isStopping, hasKeys }: DashboardProps) {
  const layout = layOut(view, rows);
  // Tables on a very wide terminal would tear a label from its figures.
  const tableColumns = Math.min(columns, 100);
  const done = view.phases.filter((phase) => phase.seconds !== null).slice(-layout.finished);
  const active = activePhases(view).slice(-layout.active);
  const errorsFirst = [...view.notices].sort((a, b) => Number(a.level === "error") - Number(b.level === "error"));
  // A part without lines must vanish with its gap: the gaps are part of the arithmetic in layout.ts.
  const parts: readonly (readonly [string, boolean, ReactNode])[] = [
    [
      "finished",
      layout.finished > 0,
      done.map((phase) => <FinishedPhase key={phase.id} phase={phase} columns={tableColumns} />),
    ],
    [
      "active",
      layout.active > 0,
      active.map((phase) => <ActivePhase key={phase.id} phase={phase} columns={tableColumns} now={now} />),
    ],
    ["workers", layout.workers > 0, <Workers key="workers" workers={visibleWorkers(view)} lines={layout.workers} />],
    [
      "training",
      layout.training > 0 && view.training !== null,
      [
        view.training && <TrainingLine key="loss" step={view.training} losses={view.losses} columns={columns} />,
        layout.training > 1 && <CurveLine key="curve" evaluations={view.evaluations} columns={columns} />,
      ],
    ],
    [
      "measures",
      layout.measures > 1,
      <Measures key="measures" metrics={view.metrics} lines={layout.measures} columns={tableColumns} />,
    ],
    [
      "notices",
      layout.notices > 0,
      errorsFirst
        .slice(-layout.notices)
        .map((notice) => <NoticeLine key={`${notice.level} ${notice.text}`} notice={notice} />),
    ],
  ];
  const gap = layout.isAiry ? 1 : 0;
  return (
    <ThemeContext value={theme}>
      <Box flexDirection="column" width={columns}>
        <Header view={view} now={now} />
        {parts
          .filter(([, isShown]) => isShown)
          .map(([name, , content]) => (
            <Box key={name} flexDirection="column" marginTop={gap}>
              {content}
            </Box>
          ))}
        <Box flexDirection="column" marginTop={gap}>
          <Footer view={view} isStopping={isStopping} hasKeys={hasKeys} />
        </Box>
      </Box>
    </ThemeContext>
  );
}
