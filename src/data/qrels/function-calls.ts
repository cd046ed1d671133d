/** Calls the functions of a user's script: hands them judgements whose ids and texts are read when looked at, checks what they give. */
import { QuarryError } from "../../errors.js";
import type { FunctionStep, LazyText, Triplet, TripletGroup } from "../../experiment/function-step.js";
import type { Judgements, Origin, TextTable } from "../types.js";

type Texts = Pick<TextTable, "id" | "title" | "text">;

/** What a judgement's ids, texts and place are read from. */
export interface TripletSource {
  readonly queries: Texts;
  readonly passages: Texts;
  origin(queryRow: number, passageRow: number): Origin | null;
}

/** The options that take functions. */
type Option = "filter" | "groupFilter" | "scoreTransform";

class RowText implements LazyText {
  constructor(
    private readonly table: Texts,
    private readonly row: number,
    private readonly hasTitle: boolean,
  ) {}

  get id(): string {
    return this.table.id(this.row);
  }

  get title(): string {
    return this.hasTitle ? this.table.title(this.row) : "";
  }

  get text(): string {
    return this.table.text(this.row);
  }
}

class RowTriplet implements Triplet {
  constructor(
    private readonly source: TripletSource,
    readonly queryRow: number,
    readonly passageRow: number,
    readonly score: number,
  ) {}

  get queryId(): string {
    return this.source.queries.id(this.queryRow);
  }

  get passageId(): string {
    return this.source.passages.id(this.passageRow);
  }

  get query(): LazyText {
    return new RowText(this.source.queries, this.queryRow, false);
  }

  get passage(): LazyText {
    return new RowText(this.source.passages, this.passageRow, true);
  }
}

/** @throws QuarryError CONFIG when the function throws or gives no boolean. */
export function callFilter(
  step: FunctionStep<Triplet, boolean>,
  source: TripletSource,
  queryRow: number,
  passageRow: number,
  score: number,
): boolean {
  const triplet = new RowTriplet(source, queryRow, passageRow, score);
  const given = call(step, "filter", triplet, () => placeOf(source, queryRow, passageRow));
  if (typeof given === "boolean") return given;
  throw wrongType(step, "filter", given, "true or false", placeOf(source, queryRow, passageRow));
}

/** @throws QuarryError CONFIG when the function throws or gives no number that float32 holds. */
export function callTransform(
  step: FunctionStep<Triplet, number>,
  source: TripletSource,
  queryRow: number,
  passageRow: number,
  score: number,
): number {
  const triplet = new RowTriplet(source, queryRow, passageRow, score);
  const given = call(step, "scoreTransform", triplet, () => placeOf(source, queryRow, passageRow));
  if (typeof given === "number" && Number.isFinite(Math.fround(given))) return given;
  throw wrongType(step, "scoreTransform", given, "a finite number", placeOf(source, queryRow, passageRow));
}

/**
 * The places in `judgements` that the function keeps, in its order.
 *
 * @throws QuarryError CONFIG when the function throws, or gives what are not judgements of the group, each once.
 */
export function callGroupFilter(
  step: FunctionStep<TripletGroup, readonly Triplet[] | boolean>,
  source: TripletSource,
  queryRow: number,
  judgements: Judgements,
  epoch: number,
  random: () => number,
): Int32Array | boolean {
  const { rows, scores } = judgements;
  const triplets = Array.from(rows, (row, place) => new RowTriplet(source, queryRow, row, scores[place] as number));
  const group: TripletGroup = {
    get queryId() {
      return source.queries.id(queryRow);
    },
    get query() {
      return new RowText(source.queries, queryRow, false);
    },
    // A copy, so that a function that sorts in place does not change what its answer is compared with.
    triplets: triplets.slice(),
    epoch,
    random,
  };
  const place = (): string => placeOf(source, queryRow, rows[0] as number);
  const given: unknown = call(step, "groupFilter", group, place);
  if (typeof given === "boolean") return given;
  if (!Array.isArray(given))
    throw wrongType(step, "groupFilter", given, "triplets of the group, true or false", place());
  const placeIn = new Map<unknown, number>(triplets.map((triplet, at) => [triplet, at]));
  return Int32Array.from(given, (triplet: unknown) => {
    const at = placeIn.get(triplet);
    if (at === undefined) {
      throw new QuarryError(
        "CONFIG",
        `${named(step, "groupFilter")} gave what is no triplet of the group ${place()}.`,
        {
          hint: "Give back some of group.triplets themselves, each once: no copies, no new ones.",
        },
      );
    }
    placeIn.delete(triplet);
    return at;
  });
}

function call<Input, Output>(
  step: FunctionStep<Input, Output>,
  option: Option,
  input: Input,
  place: () => string,
): Output {
  try {
    return step.fn(input);
  } catch (thrown) {
    // A damaged row that a function looked at is no fault of the function.
    if (thrown instanceof QuarryError) throw thrown;
    throw new QuarryError("CONFIG", `${named(step, option)} failed for ${place()}: ${String(thrown)}`, {
      hint: `Mend the function of step({ name: ${JSON.stringify(step.name)} }), and raise its version.`,
      cause: thrown,
    });
  }
}

function named({ name, version }: FunctionStep<never, unknown>, option: Option): string {
  return `${option} ${JSON.stringify(name)} (version ${version})`;
}

function wrongType(
  step: FunctionStep<never, unknown>,
  option: Option,
  given: unknown,
  wanted: string,
  place: string,
): QuarryError {
  const seen =
    given instanceof Promise
      ? "a promise"
      : typeof given === "number"
        ? String(given)
        : given === null
          ? "null"
          : typeof given;
  return new QuarryError("CONFIG", `${named(step, option)} gave ${seen} for ${place}; ${wanted} was expected.`, {
    hint:
      given instanceof Promise
        ? "Steps are synchronous: the function must not be async."
        : "Mend the function, and raise its version.",
  });
}

function placeOf(source: TripletSource, queryRow: number, passageRow: number): string {
  const ids = `query ${JSON.stringify(source.queries.id(queryRow))}, passage ${JSON.stringify(source.passages.id(passageRow))}`;
  const origin = source.origin(queryRow, passageRow);
  return origin === null ? ids : `${ids} (${origin.file}:${origin.line})`;
}
