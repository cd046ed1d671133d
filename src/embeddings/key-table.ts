/** From keys to numbers in flat arrays: open addressing, as many keys as memory holds. */
import { KEY_WORDS } from "./text-keys.js";

const MIN_SLOTS = 1 << 10;

/** Keys with one number each; the first number that a key was given stays. */
export class KeyTable {
  #slots: Int32Array;
  #keys: Int32Array;
  #values: Int32Array;
  #count = 0;

  /** @param expected how many keys are likely to come. */
  constructor(expected = 0) {
    this.#slots = new Int32Array(slotsFor(expected)).fill(-1);
    this.#keys = new Int32Array(Math.max(16, expected) * KEY_WORDS);
    this.#values = new Int32Array(Math.max(16, expected));
  }

  get size(): number {
    return this.#count;
  }

  /** Adds the key that begins at word `at`; false where it is known. */
  add(keys: Int32Array, at: number, value: number): boolean {
    const slot = this.#find(keys, at);
    if (this.#slots[slot] !== -1) return false;
    if (this.#count === this.#values.length) this.#grow();
    // Word by word: a view of four words costs more than they do.
    const start = this.#count * KEY_WORDS;
    for (let word = 0; word < KEY_WORDS; word += 1) this.#keys[start + word] = keys[at + word] as number;
    this.#values[this.#count] = value;
    this.#slots[slot] = this.#count;
    this.#count += 1;
    if (this.#count * 2 > this.#slots.length) this.#rehash();
    return true;
  }

  /** The number of a key, or -1. */
  get(keys: Int32Array, at: number): number {
    const entry = this.#slots[this.#find(keys, at)] as number;
    return entry === -1 ? -1 : (this.#values[entry] as number);
  }

  /** The slot that holds the key, or the empty one where it belongs. */
  #find(keys: Int32Array, at: number): number {
    const mask = this.#slots.length - 1;
    const [one, two, three, four] = [keys[at], keys[at + 1], keys[at + 2], keys[at + 3]];
    // The bits of a key are those of a cryptographic hash: any of them serve.
    let slot = (one as number) & mask;
    for (;;) {
      const entry = this.#slots[slot] as number;
      if (entry === -1) return slot;
      const start = entry * KEY_WORDS;
      const known = this.#keys;
      if (known[start] === one && known[start + 1] === two && known[start + 2] === three && known[start + 3] === four) {
        return slot;
      }
      slot = (slot + 1) & mask;
    }
  }

  #grow(): void {
    const capacity = Math.ceil(this.#values.length * 1.5);
    const keys = new Int32Array(capacity * KEY_WORDS);
    keys.set(this.#keys);
    const values = new Int32Array(capacity);
    values.set(this.#values);
    [this.#keys, this.#values] = [keys, values];
  }

  #rehash(): void {
    this.#slots = new Int32Array(this.#slots.length * 2).fill(-1);
    for (let entry = 0; entry < this.#count; entry += 1) {
      this.#slots[this.#find(this.#keys, entry * KEY_WORDS)] = entry;
    }
  }
}

function slotsFor(count: number): number {
  let slots = MIN_SLOTS;
  while (slots < count * 2) slots *= 2;
  return slots;
}
