/** A model at hand in a script: texts in, vectors out, with workers that stay until it is closed. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type LooseText, looseUnits } from "../data/index.js";
import { QuarryError, stopIfAborted } from "../errors.js";
import { defineExperiment, type Experiment } from "../experiment/define.js";
import { shown } from "../experiment/explain.js";
import type { ExperimentInput } from "../experiment/options.generated.js";
import { countGpus } from "../pool/gpus.js";
import { openPool } from "../pool/pool.js";
import { defaultBatchSize } from "../pool/resources.js";
import { makeOwnFolder } from "../pool/temporary-folder.js";
import type { FailedUnit, WorkerPool } from "../pool/types.js";
import type { ModelContract } from "../protocol/messages.js";
import { findPython } from "../python/environment.js";
import { EventStream } from "../report/events.js";
import { unitSizeOf } from "./batch-size.js";
import { toModelSpec } from "./model-spec.js";

/** How an encoder is opened. */
export interface OpenEncoderOptions {
  /** As in an experiment; default: workers for all devices of this machine, 16 texts in a batch. */
  readonly workers?: ExperimentInput["workers"];
  /** Folder that relative paths of the model start from; default: the working folder. */
  readonly baseDir?: string;
  /** Hears of workers and warnings. */
  readonly events?: EventStream;
  /** Ends what is going on. */
  readonly signal?: AbortSignal;
}

/** Vectors of texts, in their order. */
export interface EncodedTexts {
  /** [count × dimension], row by row. */
  readonly vectors: Float32Array;
  readonly count: number;
  readonly dimension: number;
}

/** A model whose workers have loaded it. */
export interface Encoder {
  /** What the model turned out to be: dimension, similarity, prompts, lengths, fingerprint. */
  readonly contract: ModelContract;
  /**
   * Encodes texts with the prompt and the maximum length of their side.
   *
   * @throws QuarryError naming the places of texts that cannot be encoded; WORKER, ENVIRONMENT, INTERRUPTED.
   */
  encode(
    texts: readonly (string | LooseText)[],
    options: { readonly side: "query" | "passage" },
  ): Promise<EncodedTexts>;
  /** Ends the workers; a second call does nothing. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** See openEncoder in index.ts. */
export async function openEncoder(
  model: ExperimentInput["model"],
  { workers = {}, baseDir, events = new EventStream(), signal }: OpenEncoderOptions = {},
): Promise<Encoder> {
  const input: ExperimentInput = { name: "encoder", model, workers };
  const experiment = defineExperiment(input, baseDir === undefined ? {} : { baseDir });
  if (experiment.config.workers.nodes.length > 0 || experiment.config.workers.listen !== undefined) {
    throw new QuarryError("CONFIG", "An encoder works on this machine alone.", {
      hint: "Leave workers.nodes and workers.listen out, or encode with an experiment's section encode.",
    });
  }
  const folder = makeOwnFolder();
  const leave = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const python = await findPython(signal === undefined ? {} : { signal });
    const surroundings = { python, logDir: join(folder, "logs"), events, ...(signal === undefined ? {} : { signal }) };
    const pool = await openPool({ workers: experiment.config.workers, ...surroundings });
    try {
      const contract = await pool.describe(toModelSpec(experiment));
      const { workers: asked } = experiment.config;
      const batchSize =
        typeof asked.batchSize === "number" ? asked.batchSize : await defaultBatchSize(asked, () => countGpus(python));
      return new PooledEncoder(experiment, contract, pool, batchSize, signal, leave);
    } catch (thrown) {
      await pool.close();
      throw thrown;
    }
  } catch (thrown) {
    leave();
    throw thrown;
  }
}

class PooledEncoder implements Encoder {
  #closing: Promise<void> | null = null;

  constructor(
    private readonly experiment: Experiment,
    readonly contract: ModelContract,
    private readonly pool: WorkerPool,
    private readonly batchSize: number,
    private readonly signal: AbortSignal | undefined,
    private readonly leave: () => void,
  ) {}

  async encode(
    texts: readonly (string | LooseText)[],
    { side }: { readonly side: "query" | "passage" },
  ): Promise<EncodedTexts> {
    if (this.#closing !== null) throw new QuarryError("CONFIG", "The encoder is closed.");
    const { dimension } = this.contract;
    const vectors = new Float32Array(texts.length * dimension);
    const count = texts.length;
    if (count === 0) return { vectors, count, dimension };
    const units = looseUnits(texts.map(checked), unitSizeOf(this.experiment.config.workers, this.batchSize));
    const { failed } = await this.pool.encode({
      phase: "encode",
      model: toModelSpec(this.experiment),
      side,
      batchSize: this.batchSize,
      units,
      ...(this.signal === undefined ? {} : { signal: this.signal }),
      onVectors: async (index, found) => {
        // Copied: they may begin anywhere in their frame.
        const numbers = new Float32Array(new Uint8Array(found.bytes).buffer);
        for (const [at, row] of units.rows(index).entries()) {
          vectors.set(numbers.subarray(at * dimension, (at + 1) * dimension), row * dimension);
        }
      },
    });
    if (this.signal !== undefined) stopIfAborted(this.signal);
    refuseFailed(failed);
    return { vectors, count, dimension };
  }

  close(): Promise<void> {
    this.#closing ??= this.pool.close().finally(this.leave);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function checked(given: string | LooseText, place: number): LooseText {
  if (typeof given === "string") return { text: given };
  const { title, text } = given ?? {};
  if (typeof text === "string" && (title === undefined || typeof title === "string")) return given;
  throw new QuarryError("CONFIG", `text ${place}: expected a string, or { title, text }, saw ${shown(given)}`, {
    hint: 'await encoder.encode(["a question"], { side: "query" })',
  });
}

/** Places named in a message. */
const NAMED = 10;

function refuseFailed(failed: readonly FailedUnit[]): void {
  const [first] = failed;
  if (first === undefined) return;
  const places = failed.flatMap(({ rows }) => [...rows]).sort((one, other) => one - other);
  const more = places.length > NAMED ? ", …" : "";
  throw new QuarryError(first.code, `texts ${places.slice(0, NAMED).join(", ")}${more}: ${first.message}`, {
    hint: "Places count from 0. Look at these texts and the model.",
  });
}
