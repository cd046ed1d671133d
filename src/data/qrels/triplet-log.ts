/** Judgements as they are read: row numbers in pieces of fixed size, so that growing never copies. */
const SHIFT = 18;
const PIECE = 1 << SHIFT;
const MASK = PIECE - 1;
/** Pairs that are remembered to see that a judgement repeats an earlier one. */
const RECENT = 1 << 16;

/** 16 bytes a judgement. */
export class TripletLog {
  #queries: Int32Array[] = [];
  readonly #passages: Int32Array[] = [];
  readonly #scores: Float32Array[] = [];
  readonly #lines: Int32Array[] = [];
  readonly #fileStarts: number[] = [];
  readonly #recent = new Int32Array(RECENT).fill(-1);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** What is added from now on comes from the next file. */
  startFile(): void {
    this.#fileStarts.push(this.#count);
  }

  /**
   * Adds a judgement. The very same judgement, seen a moment ago, is not kept again:
   * triples name a query's positive once for each of its negatives, in files of 400 million lines.
   */
  add(query: number, passage: number, score: number, line: number): void {
    const slot = (Math.imul(query, 0x9e3779b1) ^ Math.imul(passage, 0x85ebca6b)) >>> 16;
    const before = this.#recent[slot] as number;
    if (
      before !== -1 &&
      this.query(before) === query &&
      this.passage(before) === passage &&
      this.score(before) === Math.fround(score)
    ) {
      return;
    }
    const index = this.#count;
    const at = index & MASK;
    if (at === 0) this.#addPiece();
    const piece = index >>> SHIFT;
    (this.#queries[piece] as Int32Array)[at] = query;
    (this.#passages[piece] as Int32Array)[at] = passage;
    (this.#scores[piece] as Float32Array)[at] = score;
    (this.#lines[piece] as Int32Array)[at] = line;
    this.#recent[slot] = index;
    this.#count += 1;
  }

  query(index: number): number {
    return (this.#queries[index >>> SHIFT] as Int32Array)[index & MASK] as number;
  }

  passage(index: number): number {
    return (this.#passages[index >>> SHIFT] as Int32Array)[index & MASK] as number;
  }

  score(index: number): number {
    return (this.#scores[index >>> SHIFT] as Float32Array)[index & MASK] as number;
  }

  line(index: number): number {
    return (this.#lines[index >>> SHIFT] as Int32Array)[index & MASK] as number;
  }

  /** The number of the file that a judgement was read from. */
  file(index: number): number {
    let file = this.#fileStarts.length - 1;
    while (file > 0 && (this.#fileStarts[file] as number) > index) file -= 1;
    return file;
  }

  /** Gives the memory of the query rows back; query() must not be called any more. */
  dropQueries(): void {
    this.#queries = [];
  }

  #addPiece(): void {
    this.#queries.push(new Int32Array(PIECE));
    this.#passages.push(new Int32Array(PIECE));
    this.#scores.push(new Float32Array(PIECE));
    this.#lines.push(new Int32Array(PIECE));
  }
}
