/** Lines over steps as an SVG picture: no script, readable on light and dark ground, and on paper. */
import { formatCount } from "../format.js";
import { html, type Markup } from "./markup.js";
import type { Curve } from "./types.js";

/** A line of a chart. */
export interface Line {
  readonly label: string;
  /** Which of the page's colours, from 0 on; lines of one run share theirs over all charts. */
  readonly colour: number;
  readonly curve: Curve;
  /** A point to mark, e.g. the best. */
  readonly mark?: { readonly step: number; readonly value: number; readonly label: string };
}

/** How a chart looks. */
export interface ChartOptions {
  readonly title: string;
  readonly format: (value: number) => string;
  /** Steps at which something changed, as dashed lines. */
  readonly events?: readonly { readonly step: number; readonly label: string }[];
  readonly hasDots?: boolean;
}

const [WIDTH, HEIGHT] = [720, 240] as const;
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 28, 10, 26] as const;

/** A chart of all lines on common axes; null where no line has a point. */
export function chart(lines: readonly Line[], options: ChartOptions): Markup | null {
  const drawn = lines.filter(({ curve }) => curve.length > 0);
  const points = drawn.flatMap(({ curve }) => curve);
  if (points.length === 0) return null;
  const steps = extent(points.map(({ step }) => step));
  const values = padded(extent(points.flatMap(({ least, most }) => [least, most])));
  const x = scale(steps, [LEFT, WIDTH - RIGHT]);
  const y = scale(values, [HEIGHT - BOTTOM, TOP]);
  return html`<figure><figcaption>${options.title}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${options.title}">
${ticks(values, 5).map((at) => html`<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(at)}" y2="${y(at)}"/><text class="tick" x="${LEFT - 6}" y="${y(at) + 4}" text-anchor="end">${tick(at)}</text>`)}
${wholeTicks(steps).map((at) => html`<text class="tick" x="${x(at)}" y="${HEIGHT - 8}" text-anchor="middle">${formatCount(at)}</text>`)}
${(options.events ?? []).map(({ step, label }) => html`<line class="event" x1="${x(step)}" x2="${x(step)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"><title>${label}</title></line>`)}
${drawn.map((line) => drawLine(line, x, y, options))}
</svg></figure>`;
}

function drawLine(line: Line, x: Scale, y: Scale, { format, hasDots }: ChartOptions): Markup {
  const points = line.curve;
  const colour = `c${line.colour % 8}`;
  const at = (step: number, value: number): string => `${x(step)},${y(value)}`;
  const upper = points.map(({ step, most }) => at(step, most));
  const lower = points.map(({ step, least }) => at(step, least)).reverse();
  const hasBand = points.some(({ least, most }) => most > least);
  const { mark } = line;
  // One point is no line.
  const dots = hasDots || points.length === 1;
  return html`${hasBand && html`<polygon class="band ${colour}" points="${[...upper, ...lower].join(" ")}"/>`}<polyline class="line ${colour}" points="${points.map(({ step, mean }) => at(step, mean)).join(" ")}"/>${dots && points.map(({ step, mean }) => html`<circle class="dot ${colour}" cx="${x(step)}" cy="${y(mean)}" r="3"><title>${line.label}, step ${formatCount(step)}: ${format(mean)}</title></circle>`)}${mark && html`<circle class="mark ${colour}" cx="${x(mark.step)}" cy="${y(mark.value)}" r="6"><title>${mark.label}</title></circle>`}`;
}

type Scale = (value: number) => number;

function scale([from, to]: readonly [number, number], [start, end]: readonly [number, number]): Scale {
  const span = to - from || 1;
  return (value) => Math.round((start + ((value - from) / span) * (end - start)) * 10) / 10;
}

/** Least and most; not by spread arguments, of which there may be too many. */
function extent(numbers: readonly number[]): [number, number] {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const number of numbers) [least, most] = [Math.min(least, number), Math.max(most, number)];
  return [least, most];
}

function padded([least, most]: readonly [number, number]): [number, number] {
  const room = (most - least || Math.abs(most) || 1) * 0.05;
  return [least - room, most + room];
}

/** About `count` round numbers between two. */
export function ticks([least, most]: readonly [number, number], count: number): number[] {
  const rough = (most - least) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  const first = Math.ceil(least / step);
  const total = Math.floor(most / step) - first + 1;
  // Rounded, or 0.1 + 0.2 would be seen.
  return Array.from({ length: Math.max(0, total) }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/** Short: a tick is a round number. */
function tick(at: number): string {
  return at !== 0 && Math.abs(at) < 1e-3
    ? at.toExponential()
    : at.toLocaleString("en-US", { maximumFractionDigits: 6 });
}

function wholeTicks(steps: readonly [number, number]): number[] {
  return steps[0] === steps[1] ? [steps[0]] : ticks(steps, 8).filter(Number.isInteger);
}
