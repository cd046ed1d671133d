/** What a run's plugins held when it first read them: processes that start later, or elsewhere, are held against it. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { QuarryError } from "../errors.js";

/** Hashes of plugins' files; each is read once, so that an edit while a run is at work is noticed. */
export class PluginSources {
  readonly #hashes = new Map<string, string>();

  /**
   * The SHA-256 of a file as it was when this was first asked.
   *
   * @throws QuarryError ENVIRONMENT for a file that cannot be read.
   */
  sha256(path: string): string {
    const known = this.#hashes.get(path);
    if (known !== undefined) return known;
    try {
      const found = createHash("sha256").update(readFileSync(path)).digest("hex");
      this.#hashes.set(path, found);
      return found;
    } catch (cause) {
      throw new QuarryError("ENVIRONMENT", `the plugin ${path} cannot be read: ${(cause as Error).message}`, { cause });
    }
  }
}
