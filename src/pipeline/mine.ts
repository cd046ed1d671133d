/** Mine: passages that a retriever ranks high and that nobody judged become negatives for the next training. */
import { mkdir } from "node:fs/promises";
import { formatFloat32 } from "../data/index.js";
import type { PreparedSource } from "../data/types.js";
import { QuarryError } from "../errors.js";
import type { MineConfig } from "../experiment/schema.js";
import { writeFileDurably } from "../rundir/durable.js";
import type { RunContext } from "./context.js";
import { casesOf, identityOf, queriesToMine, retrievedBy } from "./mining/cases.js";
import { type MiningReport, ReportBuilder } from "./mining/report.js";
import { selectNegatives } from "./mining/select.js";
import type { MiningRules } from "./mining/types.js";
import { reportRows, warningOf } from "./mining/words.js";
import { onceOnSource } from "./prepare.js";
import { retrieve } from "./retrieve.js";
import { type ModelChoice, requireQrels } from "./step.js";
import type { Throughput } from "./summary.js";

/** What mining wrote; the paths are relative to the run folder. */
export interface MineResult {
  readonly negatives: string;
  readonly report: string;
  readonly negativeCount: number;
  readonly queryCount: number;
  /** Rows for the closing table. */
  readonly counts: readonly (readonly [name: string, count: number])[];
  readonly throughput: Throughput;
}

/**
 * Mines hard negatives and writes them as a qrels TSV (query id, passage id, similarity) that a source reads as its
 * `qrels`, with a report beside it.
 */
export async function mineStep(context: RunContext, model: ModelChoice): Promise<MineResult> {
  const options = context.config.mine;
  if (options === undefined) throw new TypeError("the experiment has no mine section");
  const step = `mine-${model.label}`;
  return onceOnSource(context, step, { name: "mine", data: options.data }, async (source) => {
    const queryRows = queryRowsOf(source, options);
    await mkdir(context.runDir.file(step), { recursive: true });
    const { ranked, throughput } = await retrieve(context, {
      phase: step,
      folder: step,
      model,
      source,
      queryRows,
      topK: options.topK,
    });
    const rules = rulesOf(options, context.config.seed);
    const texts = identityOf(source);
    const report = new ReportBuilder(rules.negativesPerQuery);
    const lines: string[] = [];
    for (const query of casesOf(source, queryRows, [retrievedBy(ranked, queryRows)])) {
      const selection = selectNegatives(query, rules, texts);
      report.add(selection);
      for (const { row, score } of selection.negatives) {
        lines.push(
          `${source.queries.id(query.queryRow)}\t${source.passages.qualifiedId(row)}\t${formatFloat32(score)}`,
        );
      }
    }
    const found = report.finish();
    tell(context, found, options);
    const negatives = `${step}/negatives.tsv`;
    await writeFileDurably(context.runDir.file(negatives), ["query-id\tcorpus-id\tscore", ...lines, ""].join("\n"));
    await context.runDir.writeJson(`${step}/report.json`, found);
    return {
      negatives,
      report: `${step}/report.json`,
      negativeCount: found.negatives,
      queryCount: found.queries.count,
      counts: reportRows(found),
      throughput,
    };
  });
}

function queryRowsOf(source: PreparedSource, options: MineConfig): Int32Array {
  if (options.queries === "judged") return requireQrels(source, "mine.data").queryRows;
  const rows = queriesToMine(source, options.queries);
  if (rows.length > 0) return rows;
  throw new QuarryError("DATA", "mine.data: there are no queries to mine for", {
    hint: "Give mine.data a queries file.",
  });
}

function rulesOf(options: MineConfig, seed: number): MiningRules {
  const { maxScore, minScore, absoluteMargin, relativeMargin } = options;
  const limits = [{ maxScore, minScore, absoluteMargin, relativeMargin }];
  return { ...options, seed, limits, fusion: "union", rrfK: 60 };
}

function tell(context: RunContext, report: MiningReport, options: MineConfig): void {
  const warning = warningOf(report, options);
  if (warning !== null) context.events.emit({ type: "warning", ...warning });
}
