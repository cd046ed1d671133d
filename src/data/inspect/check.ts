/** Finds every fault of an experiment's data without stopping at the first. */
import { QuarryError } from "../../errors.js";
import type { Policy, SourceConfig } from "../../experiment/schema.js";
import { DEFAULT_VALIDATION, describeFinding, type Finding, policyOf } from "../findings.js";
import { refuseUnfitGrades } from "../qrels/grades.js";
import { type OpenedSource, openSource, prepareSource } from "../source.js";
import type { DataContext, TrainingSet } from "../types.js";
import { openTrainingSet } from "../views/open-training-set.js";
import { type InspectedData, isEvaluated, isPart } from "./inspected.js";

/** Judgements of a set whose scores are looked at: enough for all but the largest, in some seconds. */
const MOST_JUDGEMENTS = 2_000_000;

/** A kind of fault in one place, and what a run would do about it. */
export interface CheckedFault extends Finding {
  readonly policy: Policy;
  /** Paths of the options that lead to it. */
  readonly options: readonly string[];
}

/** What keeps data from being opened at all. */
export interface CheckedProblem {
  readonly option: string;
  readonly message: string;
  readonly hint: string | null;
}

/** A source that could be opened. */
export interface CheckedSource {
  readonly options: readonly string[];
  readonly name: string | null;
  readonly passages: number;
  readonly queries: number;
  /** Lines of judgements that count before any step. */
  readonly judgements: number;
}

export interface CheckReport {
  /** Whether a run would start: no problem, and no fault whose policy is `error`. */
  readonly isSound: boolean;
  readonly sources: readonly CheckedSource[];
  readonly faults: readonly CheckedFault[];
  readonly problems: readonly CheckedProblem[];
  /** What else is worth knowing and stops nothing. */
  readonly notes: readonly string[];
}

/**
 * Opens everything that the experiment would open. Faults are collected, and so is what keeps a source from opening;
 * the other sources are opened all the same.
 *
 * @throws QuarryError ENVIRONMENT where the machine is at fault and not the data.
 */
export async function checkSources(data: InspectedData, context: DataContext): Promise<CheckReport> {
  const check = new Check(context);
  for (const [option, source] of data.sources) {
    const opened = await check.attempt(
      option,
      (own) => openSource(source, own, { isPart: isPart(data, option) }),
      true,
    );
    if (opened === null) continue;
    check.count(option, opened);
    opened.close();
  }
  const sets: { path: string; open: (own: DataContext) => Promise<{ close(): void }> }[] = [];
  for (const { path, data: searched, ask } of data.searched)
    sets.push({
      path,
      open: async (own) => {
        const source = await prepareSource(searched, own);
        check.tryOut(path, source, () => {
          ask?.(source);
          return !isEvaluated(path) || source.qrels === null || refuseUnfitGrades(source.qrels, MOST_JUDGEMENTS);
        });
        return source;
      },
    });
  const { train } = data;
  const mayFail = data.sources.some(([option, source]) => option.startsWith("train.data") && hasFunctions(source));
  if (train !== null)
    sets.push({
      path: "train.data",
      open: async (own) => {
        const set = await openTrainingSet(train.data, own);
        if (mayFail) check.tryOut("train.data", set, () => formGroups(set, MOST_JUDGEMENTS));
        return set;
      },
    });
  for (const { path, open } of sets) {
    // What keeps a source from opening has been told already.
    if (check.problems.some(({ option }) => option === path || option.startsWith(`${path}.`))) continue;
    (await check.attempt(path, open))?.close();
  }
  return check.report();
}

/** Whether forming groups may fail: by a function of the user's, or by a score that a map does not name. */
function hasFunctions({ groupFilter, scoreTransform }: SourceConfig): boolean {
  return groupFilter !== undefined || typeof scoreTransform === "object";
}

/** Forms the groups of the first epoch with all that a batch asks for; gives whether these were all. */
function formGroups(set: TrainingSet, most: number): boolean {
  let seen = 0;
  for (let index = 0; index < set.queryCount; index += 1) {
    if (seen >= most) return false;
    const { query, count } = set.group(index, 0);
    seen += count + set.knownPositives(query).length;
  }
  return true;
}

class Check {
  readonly problems: CheckedProblem[] = [];
  readonly #faults = new Map<string, CheckedFault & { readonly options: string[] }>();
  readonly #sources = new Map<string, CheckedSource & { readonly options: string[] }>();
  readonly #notes = new Set<string>();
  #isLenient = false;

  constructor(private readonly context: DataContext) {}

  /** @param mayRetry whether a lenient reader may be tried where a strict one fails. */
  async attempt<Opened>(
    option: string,
    open: (own: DataContext) => Promise<Opened>,
    mayRetry = false,
  ): Promise<Opened | null> {
    const validation = this.context.validation ?? DEFAULT_VALIDATION;
    const attempts = validation.badLines !== "error" || this.#isLenient ? [true] : mayRetry ? [false, true] : [false];
    for (const isLenient of attempts) {
      const badLines = isLenient && validation.badLines === "error" ? "drop" : validation.badLines;
      try {
        const opened = await open(this.#context(option, { ...validation, badLines }));
        // The first bad line stops a strict reader; only a lenient one counts them, into an entry of its own.
        this.#isLenient ||= isLenient && validation.badLines === "error";
        return opened;
      } catch (thrown) {
        if (!(thrown instanceof QuarryError) || (thrown.code !== "DATA" && thrown.code !== "CONFIG")) throw thrown;
        if (thrown.code === "DATA" && isLenient !== attempts.at(-1)) continue;
        this.#blame(option, thrown);
        return null;
      }
    }
    return null;
  }

  /**
   * Does once what a run does with the data, so that what it stops at is told now.
   *
   * @param look gives whether it saw all.
   */
  tryOut(option: string, opened: { close(): void }, look: () => boolean): void {
    try {
      if (look()) return;
    } catch (thrown) {
      opened.close();
      throw thrown;
    }
    const most = MOST_JUDGEMENTS.toLocaleString("en-US");
    this.#notes.add(`${option}: scores were tried out for the first ${most} judgements only.`);
  }

  count(option: string, { config, passages, queries, qrels }: OpenedSource): void {
    const judgements = qrels === null ? 0 : qrels.parts.stored.judgementCount;
    const counts = {
      name: config.name ?? null,
      passages: passages.rowCount,
      queries: queries?.rowCount ?? 0,
      judgements,
    };
    const key = JSON.stringify([counts, passages.fingerprint, queries?.fingerprint, config.qrels]);
    const known = this.#sources.get(key);
    if (known === undefined) this.#sources.set(key, { options: [option], ...counts });
    else known.options.push(option);
  }

  report(): CheckReport {
    const faults = [...this.#faults.values()];
    const isSound = this.problems.length === 0 && faults.every(({ policy }) => policy !== "error");
    return { isSound, sources: [...this.#sources.values()], faults, problems: this.problems, notes: [...this.#notes] };
  }

  #context(option: string, validation: NonNullable<DataContext["validation"]>): DataContext {
    const told = new Set<string>();
    return {
      ...this.context,
      validation,
      isCheck: true,
      onFinding: (finding, policy) => {
        told.add(describeFinding(finding));
        this.#add(option, finding, policy);
      },
      onWarning: (message) => {
        if (!told.has(message)) this.#notes.add(message);
      },
    };
  }

  #add(option: string, finding: Finding, told: Policy): void {
    // The reader was made lenient for the check; a run's is not.
    const policy = finding.kind === "badLines" ? policyOf(this.context, "badLines") : told;
    const key = describeFinding(finding);
    const known = this.#faults.get(key);
    if (known === undefined) this.#faults.set(key, { ...finding, policy, options: [option] });
    else if (!known.options.some((other) => option === other || other.startsWith(`${option}.`)))
      known.options.push(option);
  }

  #blame(option: string, { message, hint }: QuarryError): void {
    if (this.problems.some((problem) => problem.message === message)) return;
    this.problems.push({ option, message, hint: hint ?? null });
  }
}
