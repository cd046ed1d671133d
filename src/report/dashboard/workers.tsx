/** Workers and ranks, a row each; those that find no place are counted in a last row. */
import type { WorkerState } from "../events.js";
import { formatCount, formatRate } from "../format.js";
import type { WorkerView } from "../state.js";
import { displayWidth } from "../text-width.js";
import { Cell, Line, Span } from "./line.js";
import type { ToneName } from "./theme.js";

const tones: Readonly<Record<WorkerState, ToneName>> = {
  starting: "quiet",
  loading: "quiet",
  ready: "plain",
  busy: "good",
  lost: "error",
  stopped: "quiet",
};

function WorkerRow({ worker, nameWidth }: { readonly worker: WorkerView; readonly nameWidth: number }) {
  return (
    <Line>
      <Cell width={nameWidth}>{worker.name}</Cell>
      <Cell width={8} tone={tones[worker.state]}>
        {worker.state}
      </Cell>
      <Cell width={7} tone="quiet">
        {worker.device ?? "–"}
      </Cell>
      <Cell width={9} align="right">
        {worker.ratePerSecond === null ? "–" : formatRate(worker.ratePerSecond)}
      </Cell>
      <Cell width={11} align="right">
        {formatCount(worker.done)}
      </Cell>
      <Span tone={worker.state === "lost" ? "warning" : "quiet"}>{worker.detail ?? ""}</Span>
    </Line>
  );
}

/** "34 busy, 2 ready" */
function countStates(workers: readonly WorkerView[]): string {
  const counts = new Map<WorkerState, number>();
  for (const { state } of workers) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${state}`).join(", ");
}

/** At most `lines` lines, heading included. A lost worker is never among those that are only counted, if it can be helped. */
export function Workers({ workers, lines }: { readonly workers: readonly WorkerView[]; readonly lines: number }) {
  const nameWidth = Math.min(20, Math.max(6, ...workers.map((worker) => displayWidth(worker.name))));
  const isCut = workers.length > lines - 1;
  const places = isCut ? Math.max(0, lines - 2) : workers.length;
  const urgent = isCut ? [...workers].sort((a, b) => Number(b.state === "lost") - Number(a.state === "lost")) : workers;
  const shown = new Set(urgent.slice(0, places));
  const hidden = workers.filter((worker) => !shown.has(worker));
  return (
    <>
      <Line>
        <Cell width={nameWidth} tone="quiet">
          worker
        </Cell>
        <Cell width={8} tone="quiet">
          state
        </Cell>
        <Cell width={7} tone="quiet">
          device
        </Cell>
        <Cell width={9} align="right" tone="quiet">
          rate
        </Cell>
        <Cell width={11} align="right" tone="quiet">
          done
        </Cell>
        <Span> </Span>
      </Line>
      {workers
        .filter((worker) => shown.has(worker))
        .map((worker) => (
          <WorkerRow key={worker.name} worker={worker} nameWidth={nameWidth} />
        ))}
      {isCut && (
        <Line>
          <Span tone="quiet">{`… and ${hidden.length} more (${countStates(hidden)})`}</Span>
        </Line>
      )}
    </>
  );
}
