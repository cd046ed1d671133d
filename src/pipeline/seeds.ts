/** Where every random number of a run comes from: written into environment.json, so that it can be drawn again elsewhere. */
import { PURPOSE, partSeed } from "../data/index.js";
import type { ExperimentConfig } from "../experiment/schema.js";

/** One part's generator and what goes into it. */
export interface PartSeed {
  readonly generator: string;
  /** The numbers that the generator is keyed with; names in < > stand for what changes from draw to draw. */
  readonly key: readonly (number | string)[];
}

const THREEFRY = "threefry2x32-20";

/**
 * The seed of each part of a run. All are derived from the one `seed` of the experiment: there is no other state, so a
 * draw can be repeated alone, in any order, on any machine.
 *
 * @example
 * seedsOf(config)["training.dropout"] // { generator: "numpy SeedSequence → torch", key: [42, "<step>", "<micro-step>", "<rank>"] }
 */
export function seedsOf({ seed, train, evaluate }: ExperimentConfig): Record<string, PartSeed> {
  const drawn = (purpose: keyof typeof PURPOSE, ...counters: string[]): PartSeed => ({
    generator: THREEFRY,
    key: [seed, ...counters, PURPOSE[purpose]],
  });
  const parts = train?.data.kind === "mix" ? train.data.parts : [];
  const query = ["<epoch>", "<query row>"] as const;
  return {
    "data.order": drawn("order", "<epoch>"),
    "data.groupFilter": drawn("groupFilter", ...query),
    "data.groupRandomK": drawn("selection", ...query),
    "data.positives": drawn("positive", ...query),
    "data.negatives": drawn("negatives", ...query),
    ...(parts.length === 0 ? {} : { "data.mix": drawn("mix", "<cycle>") }),
    ...Object.fromEntries(
      parts.map((_, part): [string, PartSeed] => [
        `data.mix.parts.${part}`,
        { generator: THREEFRY, key: [partSeed(seed, part)] },
      ]),
    ),
    "mine.sampling": drawn("mining", ...query),
    "evaluate.sampling": drawn("order", "0"),
    ...(evaluate?.subCorpus?.seed === undefined
      ? {}
      : { "evaluate.subCorpus": { generator: THREEFRY, key: [evaluate.subCorpus.seed, "0", PURPOSE.order] } }),
    "evaluate.intervals": { generator: "numpy default_rng", key: [seed, "<name of the draw>"] },
    "training.modelInit": { generator: "torch", key: [seed] },
    "training.dropout": {
      generator: "numpy SeedSequence → torch, numpy, random",
      key: [seed, "<step>", "<micro-step>", "<rank>"],
    },
  };
}
