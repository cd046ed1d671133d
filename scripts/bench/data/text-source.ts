/** Makes texts of Zipf-distributed words, each a pure function of the seed and its number. */

const WORDS = 65_536;
/** Places of the table that words are drawn from; a word stands there as often as Zipf's law has it. */
const TABLE = 1 << 18;
const SLOT = 32;
/** Passages have 28 to 82 words, 55 on average; queries 3 to 9. */
const SENTENCE = 14;

type Draw = (below: number) => number;

/** 32 mixed bits of two numbers (the finaliser of MurmurHash3, twice). */
function mix(seed: number, value: number): number {
  let hash = Math.imul(value ^ 0x9e37_79b9, 0x85eb_ca6b) ^ seed;
  for (let round = 0; round < 2; round += 1) {
    hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
    hash ^= hash >>> 16;
  }
  return hash === 0 ? 1 : hash;
}

export class TextSource {
  /** Words as a JSON string holds them, SLOT bytes apart. */
  readonly #words = new Uint8Array(WORDS * SLOT);
  readonly #lengths = new Uint8Array(WORDS);
  readonly #table = new Uint16Array(TABLE);

  constructor(readonly seed: number) {
    const draw = this.#stream(mix(seed, 1));
    for (let rank = 0; rank < WORDS; rank += 1) {
      const word = Buffer.from(makeWord(rank, draw));
      this.#words.set(word, rank * SLOT);
      this.#lengths[rank] = word.length;
    }
    let sum = 0;
    for (let rank = 1; rank <= WORDS; rank += 1) sum += 1 / (rank + 2);
    let at = 0;
    let reached = 0;
    for (let rank = 0; rank < WORDS && at < TABLE; rank += 1) {
      reached += 1 / (rank + 3) / sum;
      for (; at < reached * TABLE && at < TABLE; at += 1) this.#table[at] = rank;
    }
  }

  /** Writes the text of a passage and returns where it ends. */
  passage(number: number, out: Uint8Array, at: number): number {
    const state = mix(this.seed + 0x1000, number);
    return this.#text(state, 28 + ((state >>> 3) % 28) + ((state >>> 17) % 28), out, at);
  }

  /** Writes the text of a query and returns where it ends. */
  query(number: number, out: Uint8Array, at: number): number {
    const state = mix(this.seed + 0x2000, number);
    return this.#text(state, 3 + ((state >>> 3) % 4) + ((state >>> 17) % 4), out, at);
  }

  /** Random numbers for the judgements of a query. */
  draws(query: number): Draw {
    return this.#stream(mix(this.seed + 0x3000, query));
  }

  #stream(start: number): Draw {
    let state = start;
    return (below) => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % below;
    };
  }

  #text(start: number, count: number, out: Uint8Array, from: number): number {
    const words = this.#words;
    const lengths = this.#lengths;
    const table = this.#table;
    let at = from;
    // Xorshift, written out: a call per word would double the time.
    let state = start;
    for (let place = 0; place < count; place += 1) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      const word = table[state >>> 14] as number;
      if (place > 0) {
        if (place % SENTENCE === 0) out[at++] = 46;
        out[at++] = 32;
      }
      const source = word * SLOT;
      const end = source + (lengths[word] as number);
      for (let byte = source; byte < end; byte += 1) out[at++] = words[byte] as number;
    }
    return at;
  }
}

const LETTERS = ["tnshrdlcmfwgpbvk", "aeiouaeio"] as const;

/** Frequent words are short; some are not ASCII, some stand in quotation marks, which JSON escapes. */
function makeWord(rank: number, draw: Draw): string {
  const length = Math.max(1, Math.min(14, Math.round(0.4 + Math.log2(rank + 1) * 0.42 + draw(5) - 1)));
  let word = "";
  for (let at = 0; at < length; at += 1) {
    const letters = LETTERS[at % 2] as string;
    word += letters[draw(letters.length)];
  }
  if (rank % 500 === 499) return `${word}é`;
  return rank % 1000 === 700 ? `\\"${word}\\"` : word;
}
