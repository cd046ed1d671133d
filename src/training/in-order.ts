/** Keeps answers in the order of their questions where some have to be waited for. */

/** A line of waiting answers for each asker; an answer that is there at once and has nobody before it is used at once. */
export class InOrder<Asker> {
  readonly #lines = new Map<Asker, Promise<void>>();

  constructor(private readonly onFailure: (thrown: unknown) => void) {}

  /** Whether anybody waits. */
  get isWaiting(): boolean {
    return this.#lines.size > 0;
  }

  /** Uses a value once it and all values before it for the same asker are there. */
  answer<T>(asker: Asker, value: T | Promise<T>, use: (value: T) => void): void {
    const before = this.#lines.get(asker);
    if (before === undefined && !(value instanceof Promise)) return use(value);
    const both = Promise.all([value, before]).then(([found]) => use(found));
    const line = both.catch(this.onFailure).finally(() => {
      if (this.#lines.get(asker) === line) this.#lines.delete(asker);
    });
    this.#lines.set(asker, line);
  }
}
