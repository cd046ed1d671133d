/** Numbers, durations, bars and tables as people read them; shared by the dashboard and the plain lines. */
import { counted } from "../counted.js";
import type { EventBodyOf } from "./events.js";
import { alignedLines, columnWidths, oneLine } from "./text-width.js";

/** 5183 → "5,183". */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

/** "2,048/5,183 passages"; without a total what is done. */
export function doneOf(phase: { readonly done: number; readonly total: number | null; readonly unit: string }): string {
  const { done, total, unit } = phase;
  return total === null ? counted(done, unit) : `${formatCount(done)}/${counted(total, unit)}`;
}

/** 0.384 → "0.38/s", 3.81 → "3.8/s", 190.2 → "190/s". */
export function formatRate(perSecond: number): string {
  if (!Number.isFinite(perSecond)) return "–/s";
  if (perSecond >= 100) return `${formatCount(perSecond)}/s`;
  if (perSecond >= 1) return `${perSecond.toFixed(1)}/s`;
  return perSecond >= 0.01 || perSecond === 0 ? `${perSecond.toFixed(2)}/s` : `${perSecond.toPrecision(1)}/s`;
}

/** 0.42 → "0.4 s", 12.3 → "12 s", 252 → "4 min 12 s", 3840 → "1 h 04 min". */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** Seconds as a clock: 72 → "1:12", 3723 → "1:02:03". */
export function formatClock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const pair = (value: number) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${pair(minutes)}:${pair(whole % 60)}` : `${minutes}:${pair(whole % 60)}`;
}

/** 1,234,567,890 → "1.2 GB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [amount, unit] = [Math.round(bytes), 0];
  // From here on it would read "1,000 kB".
  while (amount >= 999.95 && unit < units.length - 1) [amount, unit] = [amount / 1000, unit + 1];
  return `${amount.toLocaleString("en-US", { maximumFractionDigits: 1 })} ${units[unit]}`;
}

/** A share of 0 to 1 as "42 %"; never 100 before all is done. */
export function formatShare(share: number): string {
  return `${Math.floor(Math.min(1, Math.max(0, share)) * 100 + 1e-9)} %`;
}

/** A measure's value with the four digits that papers compare. */
export function formatMeasure(value: number): string {
  return Number.isFinite(value) ? value.toFixed(4) : String(value);
}

/** A loss: four decimals, or four digits where it is large. */
export function formatLoss(loss: number): string {
  if (!Number.isFinite(loss)) return String(loss);
  return Math.abs(loss) < 100 ? loss.toFixed(4) : loss.toPrecision(4);
}

/** A learning rate: 2e-5 → "2.0e-5". */
export function formatLearningRate(rate: number): string {
  return rate === 0 ? "0" : rate.toExponential(1);
}

/** A bar in two parts, so that they can differ in colour; together exactly `columns` wide. */
export function progressBar(share: number, columns: number): { readonly done: string; readonly rest: string } {
  const halves = Math.floor(Math.min(1, Math.max(0, share)) * columns * 2 + 1e-9);
  const done = "━".repeat(Math.floor(halves / 2)) + (halves % 2 === 1 ? "╸" : "");
  return { done, rest: "─".repeat(columns - done.length) };
}

const levels = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"] as const;

/** Values as a row of at most `columns` little bars, neighbours averaged where there are more; a blank for NaN. */
export function sparkline(values: readonly number[], columns: number): string {
  const count = Math.min(values.length, Math.max(0, columns));
  const means = Array.from({ length: count }, (_, column) => {
    const from = Math.floor((column * values.length) / count);
    const part = values.slice(from, Math.floor(((column + 1) * values.length) / count)).filter(Number.isFinite);
    return part.length === 0 ? Number.NaN : part.reduce((sum, value) => sum + value, 0) / part.length;
  });
  const finite = means.filter(Number.isFinite);
  const low = Math.min(...finite);
  const span = Math.max(...finite) - low;
  return means
    .map((mean) => {
      if (!Number.isFinite(mean)) return " ";
      return levels[span === 0 ? 0 : Math.min(7, Math.floor(((mean - low) / span) * 8))];
    })
    .join("");
}

/** A table in aligned columns: the first to the left, the others to the right; one string a line, whatever the cells hold. */
export function tableLines(names: readonly string[], cells: readonly (readonly string[])[]): string[] {
  const rows = [names, ...cells].map((row) => row.map(oneLine));
  const [heading = "", ...lines] = alignedLines(rows);
  const rule = columnWidths(rows).map((width) => "─".repeat(width));
  return [heading, rule.join("  "), ...lines];
}

/** "negatives 2, 120 steps old"; of those that the experiment names "given negatives". */
export function ageWords({ version, staleness }: NonNullable<EventBodyOf<"trainStep">["negatives"]>): string {
  if (staleness === null) return "given negatives";
  return `negatives ${version}, ${counted(staleness, "steps")} old`;
}

/** What a user hears of new negatives. */
export function negativesWords(event: EventBodyOf<"negativesSwitched">): string {
  const { version, fromStep, atStep, staleness, negatives, seconds } = event;
  const took = seconds === 0 ? "" : ` in ${formatDuration(seconds)}`;
  const old = `${counted(staleness, "steps")} old then`;
  return `negatives ${version}: ${formatCount(negatives)} mined${took} with the model of step ${fromStep}, used after step ${atStep}, ${old}`;
}
