/** Sets of rows as ascending numbers. */

/** The first place whose number is not below `wanted`. */
export function placeOf(numbers: Int32Array | Float64Array, wanted: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] as number) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Whether a set holds a number. */
export function holds(numbers: Int32Array | Float64Array, wanted: number): boolean {
  return numbers[placeOf(numbers, wanted)] === wanted;
}

/** Numbers that both sets hold. */
export function inBoth(some: Int32Array, others: Int32Array): Int32Array {
  return select(some, others, true);
}

/** Numbers of a set that the other one does not hold. */
export function missingIn(some: Int32Array, others: Int32Array): Int32Array {
  return select(some, others, false);
}

/** One walk over both: opening a set does this for all its queries. */
function select(some: Int32Array, others: Int32Array, isShared: boolean): Int32Array {
  const found = new Int32Array(some.length);
  let count = 0;
  let other = 0;
  for (let at = 0; at < some.length; at += 1) {
    const number = some[at] as number;
    while (other < others.length && (others[other] as number) < number) other += 1;
    if ((others[other] === number) !== isShared) continue;
    found[count] = number;
    count += 1;
  }
  return found.slice(0, count);
}
