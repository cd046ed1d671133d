/** Bytes, times and counts as a person reads them. */

/** 1,234,567,890 → "1.2 GB". */
export function bytes(number: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [amount, unit] = [number, 0];
  while (amount >= 1000 && unit < units.length - 1) [amount, unit] = [amount / 1000, unit + 1];
  return `${amount.toLocaleString("en-US", { maximumFractionDigits: amount < 10 && unit > 0 ? 1 : 0 })} ${units[unit]}`;
}

/** 5,400 s → "1.5 h"; 90 → "1.5 min"; 3 → "3 s". */
export function duration(seconds: number): string {
  const shown = (amount: number, unit: string): string =>
    `${amount.toLocaleString("en-US", { maximumFractionDigits: amount < 10 ? 1 : 0 })} ${unit}`;
  if (seconds >= 3600) return shown(seconds / 3600, "h");
  return seconds >= 60 ? shown(seconds / 60, "min") : shown(seconds, "s");
}

/** 1234 → "1,234". */
export function count(number: number): string {
  return number.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/** 1234.5 → "1,230"; 0.01234 → "0.0123": three digits say all that was measured. */
export function rate(number: number): string {
  return number.toLocaleString("en-US", { maximumSignificantDigits: 3 });
}
