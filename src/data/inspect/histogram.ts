/** Numbers summed up: quantiles, and counts in bins with round borders. */

/** Counts of numbers in [from, below); `below` is null for a last bin that is open, and equals `from` for a single value. */
export interface Bin {
  readonly from: number;
  readonly below: number | null;
  readonly count: number;
}

/** What a set of numbers looks like. */
export interface Summary {
  readonly count: number;
  readonly least: number;
  readonly most: number;
  readonly mean: number;
  /** The smallest number that this share of all does not exceed. */
  readonly quantiles: {
    readonly p5: number;
    readonly p25: number;
    readonly p50: number;
    readonly p75: number;
    readonly p95: number;
  };
  readonly bins: readonly Bin[];
}

const MOST_BINS = 12;

/** Null for no numbers. Whole numbers are expected; bins reach to the 99th percentile, the rest is in an open one. */
export function summarise(numbers: Int32Array | Float32Array): Summary | null {
  if (numbers.length === 0) return null;
  const sorted = numbers.slice().sort();
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number;
  const quantiles = { p5: at(0.05), p25: at(0.25), p50: at(0.5), p75: at(0.75), p95: at(0.95) };
  const most = sorted.at(-1) as number;
  let sum = 0;
  for (const value of sorted) sum += value;
  const mean = sum / sorted.length;
  return { count: sorted.length, least: at(0), most, mean, quantiles, bins: binned(sorted, at(0.99)) };
}

/** Labels: each value by itself while there are few, bins of equal width else. */
export function labelBins(labels: Float32Array): Bin[] {
  const counts = new Map<number, number>();
  for (const label of labels) {
    counts.set(label, (counts.get(label) ?? 0) + 1);
    if (counts.size > MOST_BINS) break;
  }
  if (counts.size <= MOST_BINS) {
    return [...counts].sort(([one], [other]) => one - other).map(([from, count]) => ({ from, below: from, count }));
  }
  const sorted = labels.slice().sort();
  return binned(sorted, sorted.at(-1) as number);
}

/** @param sorted ascending, at least one. */
function binned(sorted: Int32Array | Float32Array, reach: number): Bin[] {
  const least = sorted[0] as number;
  const width = roundWidth(reach - least, sorted instanceof Int32Array);
  const first = Math.floor(least / width) * width;
  const bins: Bin[] = [];
  let at = 0;
  for (let index = 0; at < sorted.length; index += 1) {
    const from = tidy(first + index * width);
    const below = tidy(first + (index + 1) * width);
    const isOpen = from > reach;
    const start = at;
    while (at < sorted.length && (isOpen || (sorted[at] as number) < below)) at += 1;
    bins.push({ from, below: isOpen ? null : below, count: at - start });
  }
  return bins;
}

/** The smallest of 1, 2 and 5 times a power of ten that cuts a range into few enough bins. */
function roundWidth(range: number, isWhole: boolean): number {
  const least = range / (MOST_BINS - 1);
  if (least <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  const width = [1, 2, 5, 10].map((times) => times * power).find((candidate) => candidate >= least) ?? least;
  return isWhole ? Math.max(1, width) : width;
}

/** 0.30000000000000004 → 0.3. */
function tidy(value: number): number {
  return Number(value.toPrecision(12));
}
