/** The whole algebra of judgements against a slow and obvious reference: every combination of options, sources and rules. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { MaterializedQrels } from "../../../../src/data/qrels/materialized.js";
import { MergedQrels } from "../../../../src/data/qrels/merged.js";
import { type OpenedSources, openSources } from "../../../../src/data/source.js";
import type { DataContext, Judgements } from "../../../../src/data/types.js";
import type { MergeRule } from "../../../../src/experiment/schema.js";
import { jsonLines, newCollection, qrels, sourceOf } from "../collection.js";
import { type Judged, merge, ReferenceConflict, ReferenceSource } from "../reference/reference.js";
import { type Case, type Chosen, EMPTY, options, PASSAGES, queryIds, type Side, sources, textOf } from "./data-sets.js";

/** Data sets, and combinations of options tried on each of them. */
const DATA_SETS = 40;
const COMBINATIONS = 40;

interface Combination {
  readonly chosen: readonly Chosen[];
  readonly rule: MergeRule;
  readonly dropsEmpty: boolean;
  readonly seed: number;
}

const combination: fc.Arbitrary<Combination> = fc.record({
  chosen: fc.array(options, { minLength: 3, maxLength: 3 }),
  rule: fc.constantFrom<MergeRule>("last", "first", "max", "error"),
  dropsEmpty: fc.boolean(),
  seed: fc.constantFrom(0, 42, 2 ** 31 - 1),
});

const corpusOf = (side: Side): string =>
  jsonLines(Array.from({ length: PASSAGES }, (_, row) => ({ _id: `d${row}`, text: textOf(side, `d${row}`) })));
const queriesOf = (side: Side): string => jsonLines(queryIds(side).map((id) => ({ _id: id, text: `what is ${id}` })));

/** Judgements with the text of the passage in place of its id: equal ids of two corpora are different passages. */
function named(cases: readonly Case[], lists: readonly (readonly Judged[])[]): Judged[][] {
  return lists.map((list, at) =>
    list.map((judged) => ({ ...judged, passageId: keyOf(cases[at] as Case, judged.passageId) })),
  );
}

/** The empty passage has no text to be known by. */
const keyOf = ({ corpus }: Case, passageId: string): string =>
  passageId === EMPTY ? `${corpus} empty` : textOf(corpus, passageId);

/** What the options are laid over: opened once, because nothing of it depends on them. */
interface DataSet {
  readonly opened: OpenedSources;
  /** By number. */
  readonly queryNames: readonly string[];
  /** By number: the text, which tells the corpus too; the empty passage is told by its corpus. */
  readonly passageKeys: readonly string[];
}

async function open(cases: readonly Case[], context: DataContext): Promise<DataSet> {
  const sourcesOf = cases.map(({ corpus, queries, files }, at) =>
    sourceOf({
      corpus: `${corpus}.jsonl`,
      queries: `queries-${queries}.jsonl`,
      qrels: files.map((_, file) => `${at}-${file}.tsv`),
    }),
  );
  const opened = await openSources({ kind: "combined", merge: "last", sources: sourcesOf }, context);
  const { queries, passages } = opened;
  const queryNames = Array.from({ length: queries.rowCount }, (_, number) => queries.id(number));
  const passageKeys = Array.from({ length: passages.rowCount }, (_, number) => {
    const first = passages.parts.findLast(({ offset }) => offset <= number)?.offset ?? 0;
    return passages.text(number) || `${passages.text(first).slice(0, 1)} empty`;
  });
  return { opened, queryNames, passageKeys };
}

/** Matchers are slow: they are asked only where the two differ. */
function same(given: unknown, expected: unknown): void {
  if (JSON.stringify(given) !== JSON.stringify(expected)) expect(given).toEqual(expected);
}

function compare(
  cases: readonly Case[],
  { chosen, rule, dropsEmpty, seed }: Combination,
  { opened, queryNames, passageKeys }: DataSet,
): void {
  const own = opened.sources.map(({ qrels: plain }, stream) => {
    const { parts } = plain as MaterializedQrels;
    const { config, reference } = chosen[stream] as Chosen;
    const subset = reference.subset?.map((id) => parts.queries.rowOf(id)).filter((row) => row !== -1);
    return new MaterializedQrels({
      ...parts,
      algebra: config,
      subset: subset === undefined ? null : Int32Array.from(subset).sort(),
      leftOut: dropsEmpty ? Int32Array.from(parts.passages.emptyRows) : new Int32Array(0),
      seed,
      stream,
    });
  });
  const sides = (opened.qrels as MergedQrels).sides.map((side, at) => ({
    ...side,
    qrels: own[at] as MaterializedQrels,
  }));
  const found = new MergedQrels(opened.queries, sides, rule);
  const references = cases.map(
    ({ files, queries }, source) =>
      new ReferenceSource(
        files,
        { ...chosen[source]?.reference, ...(dropsEmpty ? { leftOut: [EMPTY] } : {}) },
        { seed, source, rowOf: (id) => queryIds(queries).indexOf(id) },
      ),
  );
  const listOf = (query: number, { rows, scores }: Judgements): Judged[] =>
    Array.from(rows, (row, at) => ({
      queryId: queryNames[query] as string,
      passageId: passageKeys[row] as string,
      score: scores[at] as number,
    }));
  const equal = (query: number, take: () => Judgements, lists: readonly (readonly Judged[])[], by: MergeRule): void => {
    let expected: Judged[];
    try {
      expected = merge(by, named(cases, lists));
    } catch (thrown) {
      if (!(thrown instanceof ReferenceConflict)) throw thrown;
      expect(take).toThrow("has the score");
      return;
    }
    const given = listOf(query, take());
    same(given, expected);
  };

  const judgedIds = [...new Set(references.flatMap(({ all }) => all.map(({ queryId }) => queryId)))];
  const keptIds = judgedIds.filter((id) => references.some((each) => each.kept(id).length > 0));
  expect(Array.from(found.queryRows, (row) => opened.queries.id(row)).sort()).toEqual(keptIds.toSorted());
  expect([...found.queryRows]).toEqual([...found.queryRows].toSorted((one, two) => one - two));
  const isExcluded = (number: number): boolean => /d[0-4]/.test(passageKeys[number] as string);
  const isExcludedId = (passageId: string): boolean => /d[0-4]/.test(passageId);
  for (const id of judgedIds) {
    const query = opened.queries.rowOf(id);
    equal(
      query,
      () => found.annotated(query),
      references.map((each) => each.annotated(id)),
      rule === "error" ? "last" : rule,
    );
    equal(
      query,
      () => found.labels(query),
      references.map((each) => each.labels(id)),
      rule,
    );
    const candidates = references.map((each) => each.kept(id).filter(({ passageId }) => !isExcludedId(passageId)));
    same(
      found.hasCandidate(query, isExcluded),
      candidates.some((list) => list.length > 0),
    );
    same(
      found.hasCandidate(query, () => false),
      keptIds.includes(id),
    );
    for (const epoch of [0, 3]) {
      const lists = references.map((each) => each.judgements(id, epoch));
      equal(query, () => found.judgements(query, epoch), lists, rule);
    }
    const free = references.map((each) => each.judgements(id, 1, isExcludedId));
    equal(query, () => found.judgements(query, 1, isExcluded), free, rule);
  }
  for (const [at, each] of own.entries()) {
    const left = judgedIds.map((id) => references[at]?.judgements(id, 0).length ?? 0);
    const isKept = judgedIds.map((id) => (references[at]?.kept(id).length ?? 0) > 0);
    const rowsOf = judgedIds.map((id) => each.queries.rowOf(id));
    same(
      rowsOf.map((row) => row !== -1 && each.hasKept(row)),
      isKept,
    );
    const { judgements, queries } = each.steps().at(-1) ?? {};
    expect([judgements, queries]).toEqual([
      left.reduce((sum, each) => sum + each, 0),
      left.filter((each) => each > 0).length,
    ]);
  }
}

test("any sources, options and rules give what the reference gives", async () => {
  const texts = {
    "a.jsonl": corpusOf("a"),
    "b.jsonl": corpusOf("b"),
    "queries-a.jsonl": queriesOf("a"),
    "queries-b.jsonl": queriesOf("b"),
  };
  const { context, write } = newCollection(texts);
  await fc.assert(
    fc.asyncProperty(sources, fc.nat(), async (cases, number) => {
      for (const [at, { files }] of cases.entries()) {
        for (const [file, list] of files.entries()) {
          write(`${at}-${file}.tsv`, qrels(list.map(({ queryId, passageId, score }) => [queryId, passageId, score])));
        }
      }
      const dataSet = await open(cases, context);
      // Drawn by hand, so that a failure shows one combination, not forty.
      for (const tried of fc.sample(combination, { numRuns: COMBINATIONS, seed: number })) {
        try {
          compare(cases, tried, dataSet);
        } catch (thrown) {
          throw new Error(`with ${JSON.stringify(tried)}`, { cause: thrown });
        }
      }
      dataSet.opened.close();
    }),
    { numRuns: DATA_SETS },
  );
});
