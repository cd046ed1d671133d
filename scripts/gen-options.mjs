/**
 * Writes src/experiment/options.generated.ts and docs/options.md from the schema.
 * `--check` writes nothing and exits with 1 when a file is out of date; an option without a sentence always fails.
 */
import { createJiti } from "jiti";

const { writeOptions } = await createJiti(import.meta.url, { fsCache: false }).import("./options/write.ts");
process.exitCode = await writeOptions(process.argv.includes("--check"));
