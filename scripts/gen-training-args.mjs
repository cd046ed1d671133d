/**
 * Writes the options of transformers' TrainingArguments (src/experiment/training-args.generated.ts and its Python side).
 * `--check` writes nothing and exits with 1 when a file is out of date with the installed transformers.
 */
import { createJiti } from "jiti";

const { writeTrainingArgs } = await createJiti(import.meta.url, { fsCache: false }).import(
  "./options/write-training-args.ts",
);
process.exitCode = await writeTrainingArgs(process.argv.includes("--check"));
