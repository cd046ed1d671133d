/** What a command found, on stdout. */

/**
 * Writes a value as JSON for programs, or in words.
 *
 * @param isJson whether `--json` was given
 */
export function print<Value>(isJson: boolean | undefined, value: Value, describe: (value: Value) => string): void {
  process.stdout.write(`${isJson ? JSON.stringify(value, null, 2) : describe(value)}\n`);
}
