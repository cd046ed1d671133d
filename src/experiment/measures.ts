/** Names of measures: whatever spelling people bring along becomes the one of ir_measures. */
import { QuarryError } from "../errors.js";
import { nearest } from "../nearest.js";

/** A measure, and what may stand behind its name; the same table as the Python runtime's measuring/names.py. */
export interface MeasureKind {
  readonly name: string;
  /** Whether it may stand without a cut-off. */
  readonly isPlain: boolean;
  /** What its cut-off is: a rank, or a share with at most two decimals. */
  readonly cutoff: "rank" | "recall" | "share" | null;
  readonly options: readonly Option[];
  readonly mean: "mean" | "sum" | "geometric";
}

type Option = keyof typeof OPTIONS;

/** What an option of a measure may be, as ir_measures writes it. */
const OPTIONS = {
  rel: /^[1-9]\d{0,3}$/,
  judged_only: /^(True|False)$/,
  relative: /^(True|False)$/,
  dcg: /^'(log2|exp-log2)'$/,
  beta: /^\d{1,6}(\.\d{1,6})?$/,
} as const;

const CUTOFFS = {
  rank: /^[1-9]\d{0,8}$/,
  recall: /^(0|1|0?\.\d{1,2}|[01]\.0{1,2})$/,
  share: /^(\d{1,2}|\d{0,2}\.\d{1,2})$/,
} as const;

function kind(name: string, shape: "plain" | "cut" | "both", options: Partial<MeasureKind> = {}): MeasureKind {
  return {
    name,
    isPlain: shape !== "cut",
    cutoff: shape === "plain" ? null : "rank",
    options: ["rel", "judged_only"],
    mean: "mean",
    ...options,
  };
}

const COUNT = { options: ["rel"], mean: "sum" } as const;
const GRADED = { options: ["judged_only"] } as const;

/** Every measure. What ir_measures has no name for keeps trec_eval's own. */
export const MEASURES: readonly MeasureKind[] = [
  kind("nDCG", "both", { options: ["dcg", "judged_only"] }),
  kind("AP", "both"),
  kind("P", "cut"),
  kind("R", "cut"),
  kind("Success", "cut"),
  kind("RR", "both"),
  kind("Rprec", "plain"),
  kind("Bpref", "plain", { options: ["rel"] }),
  kind("infAP", "plain", { options: ["rel"] }),
  kind("IPrec", "cut", { cutoff: "recall" }),
  kind("Judged", "cut", { options: [] }),
  kind("SetP", "plain", { options: ["rel", "relative", "judged_only"] }),
  kind("SetR", "plain"),
  kind("SetF", "plain", { options: ["rel", "beta", "judged_only"] }),
  kind("SetAP", "plain"),
  kind("NumQ", "plain", { options: [], mean: "sum" }),
  kind("NumRet", "plain", COUNT),
  kind("NumRel", "plain", COUNT),
  kind("NumRelRet", "plain", COUNT),
  kind("num_nonrel_judged_ret", "plain", COUNT),
  kind("gm_map", "plain", { mean: "geometric" }),
  kind("gm_bpref", "plain", { options: ["rel"], mean: "geometric" }),
  kind("11pt_avg", "plain"),
  kind("ndcg_rel", "plain", GRADED),
  kind("Rndcg", "plain", GRADED),
  kind("relative_P", "cut"),
  kind("Rprec_mult", "cut", { cutoff: "share" }),
  kind("utility", "plain", { options: ["rel"] }),
  kind("G", "plain", GRADED),
  kind("binG", "plain"),
];

/** Other names, without case, dashes and underscores → ours, perhaps with an option. */
const ALIASES: Readonly<Record<string, string>> = {
  ndcgcut: "nDCG",
  mrr: "RR",
  reciprank: "RR",
  map: "AP",
  mapcut: "AP",
  recall: "R",
  precision: "P",
  hit: "Success",
  hits: "Success",
  hitrate: "Success",
  iprecatrecall: "IPrec",
  setrelp: "SetP(relative=True)",
  setrelativep: "SetP(relative=True)",
  setrecall: "SetR",
  setmap: "SetAP",
  gmap: "gm_map",
};

const byKey = new Map(MEASURES.map((measure) => [keyOf(measure.name), measure]));

/** What a measure's name may look like, for messages. */
export const MEASURE_EXAMPLES = "nDCG@10, RR@10, R@100, AP@1000, P(rel=2)@5 or Success@1";

/**
 * The measure's name as ir_measures writes it, or null when there is no such measure.
 *
 * @example
 * canonicalMeasure("ndcg_cut_10"); // "nDCG@10"
 * canonicalMeasure("recall@100"); // "R@100"
 * canonicalMeasure("precision(rel=2)@5"); // "P(rel=2)@5"
 */
export function canonicalMeasure(written: string): string | null {
  const { key, options, cutoff } = split(written);
  const found = lookUp(key);
  if (found === null) return null;
  const given = { ...found.options };
  for (const [name, value] of options) {
    if (Object.hasOwn(given, name) || !isOption(found.kind, name, value)) return null;
    given[name] = value;
  }
  return write(found.kind, given, cutoff);
}

/** The measure that an unknown one was probably meant to be, or null. */
export function nearestMeasure(written: string): string | null {
  const { key, options, cutoff } = split(written);
  const names = [...byKey.keys(), ...Object.keys(ALIASES)];
  const near = lookUp(key) === null && key.length > 1 ? nearest(key, names) : key;
  const found = near === null ? null : lookUp(near);
  if (found === null) return null;
  const { kind: measure } = found;
  const given = { ...found.options };
  for (const [name, value] of options) {
    const meant = nearest(name, measure.options);
    if (meant !== null && isOption(measure, meant, value)) given[meant] = value;
  }
  const example = measure.cutoff === "rank" ? "10" : "0.1";
  // A cut-off is kept where it can stand, and given where the measure is mostly written with one.
  const wanted = write(measure, given, cutoff) === null ? null : cutoff;
  return write(measure, given, measure.cutoff === null ? null : (wanted ?? example));
}

/** What is wrong with a measure, in words. */
export function unknownMeasure(written: string): string {
  const near = nearestMeasure(written);
  const wayOut = near === null ? `write it like ${MEASURE_EXAMPLES}` : `did you mean ${near}?`;
  return `unknown measure the text ${JSON.stringify(written)}; ${wayOut}`;
}

const RANKS = [5, 10, 15, 20, 30, 100, 200, 500, 1000];
const at = (name: string, cutoffs: readonly (number | string)[]): string[] =>
  cutoffs.map((cutoff) => `${name}@${cutoff}`);
const tenths = (count: number, from: number): string[] =>
  Array.from({ length: count }, (_, step) => String((from + step) / 10));

const OFFICIAL = [
  ...["NumQ", "NumRet", "NumRel", "NumRelRet", "AP", "gm_map", "Rprec", "Bpref", "RR"],
  ...at("IPrec", tenths(11, 0)),
  ...at("P", RANKS),
];

/** trec_eval's names for sets of measures. */
const SETS: Readonly<Record<string, readonly string[]>> = {
  official: OFFICIAL,
  all_trec: [
    ...OFFICIAL,
    ...["infAP", "gm_bpref", "utility", "11pt_avg", "binG", "G", "nDCG", "ndcg_rel", "Rndcg"],
    ...["R", "nDCG", "AP", "relative_P"].flatMap((name) => at(name, RANKS)),
    ...at(
      "Rprec_mult",
      Array.from({ length: 10 }, (_, step) => String((step + 1) / 5)),
    ),
    ...at("Success", [1, 5, 10]),
    ...["SetP", "SetP(relative=True)", "SetR", "SetAP", "SetF", "num_nonrel_judged_ret"],
  ],
};

/**
 * Measures as ir_measures writes them; `official` and `all_trec` stand for trec_eval's sets.
 *
 * @throws QuarryError CONFIG naming what is unknown, with the nearest measure.
 */
export function measuresOf(written: readonly string[]): string[] {
  const found = written.flatMap((name) => SETS[name] ?? [name]).map((name) => [name, canonicalMeasure(name)] as const);
  const unknown = found.filter(([, canonical]) => canonical === null).map(([name]) => unknownMeasure(name));
  if (unknown.length > 0) throw new QuarryError("CONFIG", unknown.join("\n"));
  if (found.length === 0) throw new QuarryError("CONFIG", `no measure is named; write it like ${MEASURE_EXAMPLES}`);
  return [...new Set(found.map(([, canonical]) => canonical as string))];
}

/** Those of these measures that are means over queries, by which runs can be compared. */
export function comparableMeasures(names: readonly string[]): string[] {
  return names.filter((name) => lookUp(split(name).key)?.kind.mean === "mean");
}

function lookUp(key: string): { kind: MeasureKind; options: Record<string, string> } | null {
  const measure = byKey.get(key);
  if (measure !== undefined) return { kind: measure, options: {} };
  const alias = Object.hasOwn(ALIASES, key) ? ALIASES[key] : undefined;
  if (alias === undefined) return null;
  const { key: own, options } = split(alias);
  const meant = byKey.get(own);
  return meant === undefined ? null : { kind: meant, options: Object.fromEntries(options) };
}

function isOption(measure: MeasureKind, name: string, value: string): boolean {
  return measure.options.some((option) => option === name && OPTIONS[option].test(value));
}

function write(measure: MeasureKind, options: Readonly<Record<string, string>>, cutoff: string | null): string | null {
  const inside = measure.options.filter((name) => options[name] !== undefined);
  const brackets = inside.length === 0 ? "" : `(${inside.map((name) => `${name}=${options[name]}`).join(",")})`;
  if (cutoff === null) return measure.isPlain ? `${measure.name}${brackets}` : null;
  if (measure.cutoff === null || !CUTOFFS[measure.cutoff].test(cutoff)) return null;
  return `${measure.name}${brackets}@${measure.cutoff === "rank" ? cutoff : String(Number(cutoff))}`;
}

interface Parts {
  readonly key: string;
  readonly options: readonly (readonly [name: string, value: string])[];
  readonly cutoff: string | null;
}

function split(written: string): Parts {
  const match = /^([^()]*?)\s*(?:\(([^()]*)\))?\s*(?:[@_.-]?\s*(\d+(?:\.\d+)?|\.\d+))?$/.exec(written.trim());
  if (match === null) return { key: keyOf(written), options: [], cutoff: null };
  const [, name = "", inside = "", cutoff = null] = match;
  const options = inside
    .split(",")
    .filter((part) => part.trim() !== "")
    .map((part): [string, string] => {
      const [option = "", value = ""] = part.split("=", 2).map((piece) => piece.trim());
      return [option, valueOf(value)];
    });
  return { key: keyOf(name), options, cutoff };
}

/** Texts and booleans as Python writes them. */
function valueOf(written: string): string {
  if (/^(true|false)$/i.test(written)) return written.toLowerCase() === "true" ? "True" : "False";
  return written.replace(/^["']?([\w-]*[a-z][\w-]*)["']?$/i, "'$1'");
}

function keyOf(name: string): string {
  return name.trim().toLowerCase().replace(/[-_]/g, "");
}
