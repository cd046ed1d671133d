/** Finds the name that a misspelt one was meant to be. */

/** Names are compared without case, dashes and underscores: `learning_rate` is as near to `learningRate` as can be. */
function plain(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, "");
}

/**
 * Number of insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`
 * (Damerau–Levenshtein in its "optimal string alignment" form).
 */
export function editDistance(a: string, b: string): number {
  const width = b.length + 1;
  const cells = new Uint32Array((a.length + 1) * width);
  const at = (i: number, j: number): number => cells[i * width + j] ?? 0;
  for (let j = 0; j < width; j++) cells[j] = j;
  for (let i = 1; i <= a.length; i++) {
    cells[i * width] = i;
    for (let j = 1; j < width; j++) {
      const isEqual = a[i - 1] === b[j - 1];
      let best = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (isEqual ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, at(i - 2, j - 2) + 1);
      cells[i * width + j] = best;
    }
  }
  return at(a.length, b.length);
}

/**
 * The candidate nearest to a name, or null when none is near enough (a third of the longer name may differ).
 *
 * @example
 * nearest("learningrte", ["learningRate", "weightDecay"]); // "learningRate"
 */
export function nearest(name: string, candidates: Iterable<string>): string | null {
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = editDistance(plain(name), plain(candidate));
    const limit = Math.max(1, Math.floor(Math.max(name.length, candidate.length) / 3));
    if (distance <= limit && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
