/** Scores of pairs by a cross-encoder: what the cache knows is read, what is missing goes to the workers. */
import { createHash } from "node:crypto";
import { keepRows, type PairRows, pairUnits } from "../data/index.js";
import type { TextTable } from "../data/types.js";
import { QuarryError } from "../errors.js";
import type { CrossEncoderConfig } from "../experiment/schema.js";
import type { FailedUnit } from "../pool/types.js";
import type { CrossEncoderContract, CrossEncoderSpec } from "../protocol/messages.js";
import { pairBatchSizeOf, unitSizeOf } from "./batch-size.js";
import type { RunContext } from "./context.js";
import { toCrossEncoderSpec } from "./model-spec.js";
import { PairCache } from "./pair-cache.js";
import { KEY_BYTES, type PairKeys, pairKeys } from "./pair-keys.js";
import { plannedPairs } from "./pair-plan.js";
import type { Pair, PairScorer } from "./pair-scorer.js";

/** What a scorer works with. */
export interface CrossScorerOptions {
  /** Phase id under which progress is reported. */
  readonly phase: string;
  /** Folder in the run folder that keeps the plans of this scorer's jobs. */
  readonly folder: string;
  readonly crossEncoder: CrossEncoderConfig;
  readonly tables: { readonly queries: TextTable; readonly passages: TextTable };
}

/**
 * Opens a scorer; the workers load its model.
 *
 * @example
 * const scorer = await CrossScorer.open(context, { phase, folder, crossEncoder, tables: source });
 * try {
 *   const scores = await scorer.score([{ queryRow: 0, passageRow: 12 }]);
 * } finally {
 *   await scorer.close();
 * }
 */
export class CrossScorer implements PairScorer {
  /** Pairs that workers scored, those that the cache knew left out. */
  scoredCount = 0;
  /** Seconds that they took. */
  seconds = 0;
  #calls = 0;

  private constructor(
    private readonly context: RunContext,
    private readonly options: CrossScorerOptions,
    private readonly spec: CrossEncoderSpec,
    readonly contract: CrossEncoderContract,
    private readonly cache: PairCache,
  ) {}

  static async open(context: RunContext, options: CrossScorerOptions): Promise<CrossScorer> {
    const spec = toCrossEncoderSpec(options.crossEncoder, context.experiment.baseDir);
    const pool = await context.pool();
    const contract = await pool.describeCrossEncoder(spec);
    await context.runDir.recordEnvironment({
      models: { [options.folder]: contract.fingerprint },
      contracts: { [options.folder]: contract },
    });
    const cache = await PairCache.open(context.cacheDir, contract);
    return new CrossScorer(context, options, spec, contract, cache);
  }

  /** A score for each pair, in their order; pairs with equal texts have the same one. */
  score(pairs: readonly Pair[]): Promise<Float32Array> {
    return this.scoreRows({
      queryRows: Int32Array.from(pairs, ({ queryRow }) => queryRow),
      passageRows: Int32Array.from(pairs, ({ passageRow }) => passageRow),
    });
  }

  /** As score(), of pairs that are too many for an object each. */
  async scoreRows(rows: PairRows): Promise<Float32Array> {
    const keys = pairKeys(this.options.tables, rows, this.contract.fingerprint);
    const scores = await this.cache.read(keys);
    const call = this.#calls;
    this.#calls += 1;
    const missing = keepRows(keys.first, (first, pair) => first === pair && Number.isNaN(scores[pair]));
    if (missing.length > 0) await this.#scoreMissing(call, rows, keys, missing, scores);
    for (const [pair, first] of keys.first.entries()) scores[pair] = scores[first] as number;
    return scores;
  }

  close(): Promise<void> {
    return this.cache.close();
  }

  async #scoreMissing(
    call: number,
    rows: PairRows,
    keys: PairKeys,
    missing: Int32Array,
    scores: Float32Array,
  ): Promise<void> {
    const { context, options } = this;
    const { workers } = context.config;
    const wanted = options.crossEncoder.batchSize ?? workers.batchSize;
    const work = { model: this.spec, contract: this.contract, tables: options.tables, pairs: rows };
    const batchSize = await pairBatchSizeOf(context, wanted, work, missing);
    const planned = await plannedPairs(
      context.runDir.file(options.folder, `pairs-${call}.plan`),
      this.#planKey(keys, batchSize),
      keys.count,
      missing,
    );
    const units = pairUnits(options.tables, rows, planned, unitSizeOf(workers, batchSize));
    const phase = call === 0 ? `${options.phase}/pairs` : `${options.phase}/pairs-${call}`;
    const pool = await context.pool();
    const start = { phase, label: "score pairs", unit: "pairs", total: planned.length } as const;
    const outcome = await context.phase(start, async () => {
      const value = await pool.score({
        phase,
        model: this.spec,
        batchSize,
        units,
        isDone: (index) => units.rows(index).every((pair) => !Number.isNaN(scores[pair])),
        signal: context.signal,
        onScores: async (index, unitScores) => {
          const own = units.rows(index);
          await this.cache.append(keysOf(keys, own), unitScores);
          for (const [at, pair] of own.entries()) scores[pair] = unitScores[at] as number;
        },
      });
      return { value, done: value.rowCount };
    });
    this.scoredCount += outcome.rowCount;
    this.seconds += outcome.seconds;
    this.#throwFailed(outcome.failed, rows);
  }

  /** What decides how pairs are batched, and with which of them. */
  #planKey(keys: PairKeys, batchSize: number): string {
    const unitSize = unitSizeOf(this.context.config.workers, batchSize);
    const facts = JSON.stringify([this.contract.fingerprint, unitSize, batchSize]);
    return createHash("sha256").update(facts).update(keys.bytes).digest("hex");
  }

  #throwFailed(failed: readonly FailedUnit[], { queryRows, passageRows }: PairRows): void {
    const first = failed[0];
    if (first === undefined) return;
    const { queries, passages } = this.options.tables;
    const named = [...first.rows].slice(0, 10).map((pair) => {
      const [query, passage] = [queryRows[pair] as number, passageRows[pair] as number];
      const { file, line } = passages.origin(passage);
      return `${queries.id(query)} with ${passages.qualifiedId(passage)} (${file}:${line})`;
    });
    const more = first.rows.length > named.length ? ` and ${first.rows.length - named.length} more` : "";
    const count = `${failed.length} unit${failed.length === 1 ? "" : "s"} of pairs could not be scored`;
    throw new QuarryError(
      first.code,
      `${count}; ${first.unit}: ${first.message}\n  pairs: ${named.join(", ")}${more}`,
      { hint: "Mend or remove these texts, then run the same command again; scored pairs are not scored again." },
    );
  }
}

function keysOf(keys: PairKeys, pairs: Int32Array): Uint8Array {
  const bytes = new Uint8Array(pairs.length * KEY_BYTES);
  for (const [at, pair] of pairs.entries()) {
    bytes.set(keys.bytes.subarray(pair * KEY_BYTES, (pair + 1) * KEY_BYTES), at * KEY_BYTES);
  }
  return bytes;
}
