/** How scores are written, in files and in messages: they are kept as float32. */

/** The shortest decimal that reads back as the same float32: 0.9, not 0.8999999761581421. */
export function formatFloat32(value: number): string {
  for (let digits = 6; digits < 9; digits += 1) {
    const short = value.toPrecision(digits);
    if (Math.fround(Number(short)) === value) return String(Number(short));
  }
  return String(Number(value.toPrecision(9)));
}
