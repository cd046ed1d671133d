/** Random data sets and options for the algebra, each told twice: as Quarry's options and in the words of the reference. */
import fc from "fast-check";
import { step, type Triplet, type TripletGroup } from "../../../../src/experiment/function-step.js";
import type { SourceConfig } from "../../../../src/experiment/schema.js";
import type { Judged, ReferenceOptions } from "../reference/reference.js";

/** Two corpora and two sets of queries that share ids; d7 of every corpus is empty. */
export const PASSAGES = 9;
export const EMPTY = "d7";
const QUERIES = { a: ["q0", "q1", "q2", "q3", "q4"], b: ["q6", "q4", "q1", "q5"] } as const;

export type Side = "a" | "b";

/** A source as both sides of the comparison see it. */
export interface Case {
  readonly corpus: Side;
  readonly queries: Side;
  readonly files: readonly (readonly Judged[])[];
}

export interface Chosen {
  readonly config: Partial<SourceConfig>;
  readonly reference: ReferenceOptions;
}

export const queryIds = (side: Side): readonly string[] => QUERIES[side];

/** The text of a passage: what tells the same ids of two corpora apart. */
export const textOf = (corpus: Side, passageId: string): string =>
  passageId === EMPTY ? "" : `${corpus} ${passageId} ${"long ".repeat(Number(passageId.slice(1)) % 3)}`.trim();

const score = fc.constantFrom(0, 1, 2, 3, 0.7, -1.5, 2.5, 1e-9, 12_345_678.9);

const judged = (queries: Side): fc.Arbitrary<Judged> =>
  fc.record({
    queryId: fc.constantFrom(...QUERIES[queries]),
    passageId: fc.nat(PASSAGES - 1).map((number) => `d${number}`),
    score,
  });

export const sources: fc.Arbitrary<readonly Case[]> = fc.array(
  fc.tuple(fc.constantFrom<Side>("a", "b"), fc.constantFrom<Side>("a", "b")).chain(([corpus, queries]) =>
    fc.record({
      corpus: fc.constant(corpus),
      queries: fc.constant(queries),
      files: fc.array(fc.array(judged(queries), { minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 3 }),
    }),
  ),
  { minLength: 1, maxLength: 3 },
);

const thresholds = fc.record(
  { minScore: fc.constantFrom(0, 0.7, 1, 2, -1.5), maxScore: fc.constantFrom(1, 2, 0.7, 3, 2.5) },
  { requiredKeys: [] },
);

const filters: fc.Arbitrary<Chosen> = fc.constantFrom<Chosen>(
  { config: {}, reference: {} },
  {
    config: { filter: step({ name: "odd", fn: ({ passageId }: Triplet) => Number(passageId.slice(1)) % 2 === 1 }) },
    reference: { filter: ({ passageId }) => Number(passageId.slice(1)) % 2 === 1 },
  },
  {
    config: {
      filter: step({
        name: "by-text",
        fn: ({ passage, query, queryId, score: written }: Triplet) =>
          passage.text.includes("long") && passage.title === "" && query.text.endsWith(queryId) && written !== 2,
      }),
    },
    reference: {
      filter: ({ passageId, score: written }) =>
        Number(passageId.slice(1)) % 3 > 0 && passageId !== EMPTY && written !== 2,
    },
  },
);

const groupFilters: fc.Arbitrary<Chosen> = fc.constantFrom<Chosen>(
  { config: {}, reference: {} },
  {
    config: {
      groupFilter: step({
        name: "coins",
        fn: ({ triplets, random }: TripletGroup) => triplets.filter(() => random() < 0.6),
      }),
    },
    reference: { groupFilter: (group, random) => group.filter(() => random() < 0.6) },
  },
  {
    config: { groupFilter: step({ name: "reversed", fn: ({ triplets }: TripletGroup) => triplets.toReversed() }) },
    reference: { groupFilter: (group) => group.toReversed() },
  },
  {
    config: { groupFilter: step({ name: "all-or-none", fn: ({ triplets }: TripletGroup) => triplets.length > 2 }) },
    reference: { groupFilter: (group) => (group.length > 2 ? group : []) },
  },
);

const count = fc.constantFrom(1, 2, 3, 5);
const groupSteps: fc.Arbitrary<Chosen> = fc
  .oneof(
    fc.constant({}),
    count.map((groupTopK) => ({ groupTopK })),
    count.map((groupBottomK) => ({ groupBottomK })),
    count.map((groupFirstK) => ({ groupFirstK })),
    count.map((groupRandomK) => ({ groupRandomK })),
  )
  .map((options) => ({ config: options, reference: options }));

const transforms: fc.Arbitrary<Chosen> = fc.constantFrom<Chosen>(
  { config: {}, reference: {} },
  { config: { scoreTransform: 5 }, reference: { transform: () => 5 } },
  { config: { scoreTransform: 0.1 }, reference: { transform: () => 0.1 } },
  { config: { scoreTransform: "floor" }, reference: { transform: ({ score: from }) => Math.floor(from) + 0 } },
  { config: { scoreTransform: "ceil" }, reference: { transform: ({ score: from }) => Math.ceil(from) + 0 } },
  { config: { scoreTransform: "round" }, reference: { transform: ({ score: from }) => Math.round(from) + 0 } },
  {
    config: { scoreTransform: { map: { "0.7": 9, 2: 4, "-1.5": 0.3 }, otherwise: 7 } },
    reference: {
      transform: ({ score: from }) => (from === Math.fround(0.7) ? 9 : from === 2 ? 4 : from === -1.5 ? 0.3 : 7),
    },
  },
  {
    config: {
      scoreTransform: step({
        name: "by-id",
        fn: ({ passageId, score: from }: Triplet) => from + Number(passageId.slice(1)) / 10,
      }),
    },
    reference: { transform: ({ passageId, score: from }) => from + Number(passageId.slice(1)) / 10 },
  },
);

const subsets: fc.Arbitrary<Chosen> = fc
  .option(fc.constantFrom(["q1"], ["q1", "q4"]), { nil: null })
  .map((ids) => (ids === null ? { config: {}, reference: {} } : { config: {}, reference: { subset: ids } }));

/** The options of one source. */
export const options: fc.Arbitrary<Chosen> = fc
  .tuple(
    thresholds.map((each) => ({ config: each, reference: each })),
    filters,
    groupFilters,
    groupSteps,
    transforms,
    subsets,
  )
  .map((parts) => ({
    config: Object.assign({}, ...parts.map((each) => each.config)) as Chosen["config"],
    reference: Object.assign({}, ...parts.map((each) => each.reference)) as Chosen["reference"],
  }));
