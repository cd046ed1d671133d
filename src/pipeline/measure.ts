/** Measures of a run file, by pytrec_eval in a short-lived Python process. */
import { readFile } from "node:fs/promises";
import { execa } from "execa";
import { QuarryError } from "../errors.js";
import type { EvaluateConfig } from "../experiment/schema.js";
import type { RunContext } from "./context.js";

/** Means over all judged queries, and the values of each query. */
export interface Measured {
  readonly mean: Readonly<Record<string, number>>;
  readonly queries: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly queryCount: number;
  /** Judged queries that the run lacks. */
  readonly withoutResults: number;
  /** Queries of the run that nobody judged; they count for nothing. */
  readonly unjudged: number;
}

/**
 * Scores the written files themselves, so that whoever scores them again gets the same numbers.
 *
 * @param out where the values are written as JSON
 */
export async function measure(
  context: RunContext,
  files: { readonly run: string; readonly qrels: string; readonly out: string },
  { measures, relevanceLevel }: Pick<EvaluateConfig, "measures" | "relevanceLevel">,
): Promise<Measured> {
  const python = await context.python();
  const result = await execa(
    python.executable,
    [
      "-m",
      "quarry_runtime",
      "measure",
      "--run",
      files.run,
      "--qrels",
      files.qrels,
      "--out",
      files.out,
      "--level",
      String(relevanceLevel),
      "--measures",
      ...measures,
    ],
    { env: { ...python.env }, extendEnv: false, cancelSignal: context.signal, reject: false },
  );
  context.checkStop();
  if (result.exitCode !== 0) {
    throw new QuarryError(
      "INTERNAL",
      `the measures could not be computed: ${result.stderr.trim().split("\n").at(-1) ?? ""}`,
      {
        cause: result,
      },
    );
  }
  return JSON.parse(await readFile(files.out, "utf8")) as Measured;
}
