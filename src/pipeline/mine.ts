/** Mine: passages that a retriever ranks high and that nobody judged become negatives for the next training. */
import { mkdir } from "node:fs/promises";
import { callFilter } from "../data/index.js";
import type { PreparedSource } from "../data/types.js";
import { inSection } from "../experiment/mine-checks.js";
import type { MineConfig } from "../experiment/schema.js";
import { rowsToMine } from "./asked-data.js";
import type { RunContext } from "./context.js";
import { lookAtCrossEncoder } from "./cross-look.js";
import { openRescore } from "./mine-rescore.js";
import { askAll, retrieversOf, withRuns } from "./mine-retrievers.js";
import { casesOf, identityOf } from "./mining/cases.js";
import { formatsOf } from "./mining/output/formats.js";
import { writeParquet } from "./mining/output/parquet.js";
import { NegativesWriter, type WrittenFile } from "./mining/output/writer.js";
import { minePass } from "./mining/pass.js";
import { type MiningReport, ReportBuilder } from "./mining/report.js";
import type { MiningRules, QueryCase } from "./mining/types.js";
import { reportRows, warningsOf } from "./mining/words.js";
import { onceOnSource, prepare } from "./prepare.js";
import type { ModelChoice, StepLeft } from "./step.js";
import type { Throughput } from "./summary.js";

/** What mining wrote; the paths are relative to the run folder. */
export interface MineResult {
  /** Files of negatives with their numbers of lines. */
  readonly files: readonly (readonly [file: string, lines: number])[];
  readonly report: string;
  /** Rows for the closing table. */
  readonly counts: readonly (readonly [name: string, count: number])[];
  readonly throughput: Throughput;
}

/** Mines hard negatives and writes them in the formats asked for, with a report beside them. */
export async function mineStep(context: RunContext, options: MineConfig, model: ModelChoice): Promise<StepLeft> {
  const step = `mine-${model.label}`;
  const retrievers = retrieversOf(options, model.label);
  return withRuns(context, step, options.data, retrievers, async (runs) => {
    const also = runs.flatMap((run) => run?.fingerprint ?? []).join(" ");
    const use = { name: "mine", data: options.data, ...(also === "" ? {} : { also }) };
    const mineIt = (source: PreparedSource): Promise<MineResult> =>
      mineSource(context, { step, section: "mine", choice: model, source, retrievers, runs }, options);
    const filesOf = ({ files, report }: MineResult): string[] => [...files.map(([file]) => file), report];
    return leftOf(context, await onceOnSource(context, step, use, mineIt, filesOf));
  });
}

function leftOf({ runDir }: RunContext, { files, report, counts, throughput }: MineResult): StepLeft {
  const [negatives] = files[0] as (typeof files)[number];
  const written = Object.fromEntries(files.map(([file]) => [file, runDir.file(file)]));
  return {
    files: { ...written, negatives: runDir.file(negatives), miningReport: runDir.file(report) },
    written: [...counts, ...files],
    throughputs: [throughput],
  };
}

/**
 * Mines with the options of another section whatever the journal says, into a folder of the run.
 *
 * @param step path of the folder, and what its phases are called
 * @param section path of the options in the experiment, for messages
 * @param draw different numbers draw differently where mining draws at random
 */
export async function mineInto(
  context: RunContext,
  { step, section }: { readonly step: string; readonly section: string },
  choice: ModelChoice,
  options: MineConfig,
  draw: number,
): Promise<MineResult> {
  const retrievers = retrieversOf(options, choice.label);
  return withRuns(context, step, options.data, retrievers, async (runs) => {
    const source = await prepare(context, step, options.data);
    try {
      return await mineSource(context, { step, section, choice, source, retrievers, runs }, options, draw);
    } finally {
      source.close();
    }
  });
}

async function mineSource(
  context: RunContext,
  work: Omit<Parameters<typeof askAll>[1], "queryRows"> & { readonly section: string },
  options: MineConfig,
  draw = 0,
): Promise<MineResult> {
  const { step, section, source, retrievers } = work;
  const queryRows = rowsToMine(source, options, section);
  await lookAtCrossEncoder(context, options.rescore?.model);
  await mkdir(context.runDir.file(step), { recursive: true });
  const { retrieved, throughput } = await askAll(context, { ...work, queryRows });
  const limits = retrievers.map((retriever) => retriever.limits);
  const { filter } = options;
  const { queries, passages } = source;
  const rules: MiningRules = {
    ...options,
    seed: (context.config.seed + draw) >>> 0,
    limits,
    ...(filter === undefined
      ? {}
      : {
          accepts: (queryRow, row, score) =>
            callFilter(filter, { queries, passages, origin: () => null }, queryRow, row, score),
        }),
  };
  const cases = casesOf(source, queryRows, retrieved);
  const { found, files } = await writeNegatives(context, options, {
    step,
    source,
    cases,
    rules,
    names: retrievers.map(({ name }) => name),
    queryCount: queryRows.length,
  });
  for (const { message, hint } of warningsOf(found, files, options)) {
    const said = { message: inSection(message, section), hint: hint && inSection(hint, section) };
    context.events.emit({ type: "warning", ...said });
  }
  await context.runDir.writeJson(`${step}/report.json`, { ...found, files });
  return {
    files: files.map(({ file, lines }) => [`${step}/${file}`, lines] as const),
    report: `${step}/report.json`,
    counts: reportRows(found, options).map(([row, count]) => [inSection(row, section), count] as const),
    throughput,
  };
}

/** Applies the rules to every query and writes what comes of it. */
async function writeNegatives(
  context: RunContext,
  options: MineConfig,
  work: {
    readonly step: string;
    readonly source: PreparedSource;
    readonly cases: Iterable<QueryCase>;
    readonly rules: MiningRules;
    /** Of the retrievers. */
    readonly names: readonly string[];
    readonly queryCount: number;
  },
): Promise<{ readonly found: MiningReport; readonly files: readonly WrittenFile[] }> {
  const { step, source, cases, rules, names, queryCount } = work;
  const phase = `${step}/choose`;
  return context.phase({ phase, label: "choose negatives", unit: "queries", total: queryCount }, async () => {
    const report = new ReportBuilder(rules.negativesPerQuery, names);
    const formats = formatsOf(options, context.config.name, names);
    const writer = await NegativesWriter.open(context.runDir.file(step), formats, source, options);
    let rescore: Awaited<ReturnType<typeof openRescore>> = null;
    try {
      rescore = await openRescore(context, step, source, options);
      const onChunk = (done: number): void => {
        context.checkStop();
        context.events.emit({ type: "progress", phase, done, total: queryCount, ratePerSecond: null });
      };
      const pool = options.fillRandom ? source.searchRows : null;
      await minePass(cases, { rules, texts: identityOf(source), report, writer, rescore, pool, onChunk });
      const lines = await writer.finish();
      const tables = options.parquet ? await writeParquet(context, context.runDir.file(step), formats) : [];
      const files = [...lines, ...tables];
      const found = report.finish(writer.positivesWithoutScore);
      return { value: { found, files }, done: queryCount };
    } finally {
      await writer.abandon();
      await rescore?.scorer.close();
    }
  });
}
