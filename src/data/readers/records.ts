/** What all readers of text share: empty records to fill, the rules for ids and scores, the words when they are broken. */
import type { InputFile } from "./input.js";
import { decode } from "./json-line.js";
import type { IdRecord, JudgementRecord, Span, TextRecord } from "./reader.js";

const NOTHING = Buffer.alloc(0);
const MINUS = 0x2d;
const POINT = 0x2e;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

export function emptySpan(): Span {
  return { bytes: NOTHING, start: 0, end: 0 };
}

export function newTextRecord(): TextRecord {
  return { line: 0, id: emptySpan(), title: emptySpan(), text: emptySpan(), prompt: emptySpan(), extras: emptySpan() };
}

export function newJudgementRecord(): JudgementRecord {
  return { line: 0, query: emptySpan(), passage: emptySpan(), score: 0 };
}

export function newIdRecord(): IdRecord {
  return { line: 0, id: emptySpan() };
}

/** Makes `target` mean the same piece as `source`. */
export function pointAt(target: Span, source: Span): void {
  target.bytes = source.bytes;
  target.start = source.start;
  target.end = source.end;
}

/** Makes `target` mean [start, end) of `bytes`. */
export function pointTo(target: Span, bytes: Uint8Array, start: number, end: number): void {
  target.bytes = bytes;
  target.start = start;
  target.end = end;
}

/** Makes `target` mean a string. */
export function putText(target: Span, text: string): void {
  const bytes = Buffer.from(text, "utf8");
  pointTo(target, bytes, 0, bytes.byteLength);
}

/**
 * Whether an id can be one; if not, that is the line's fault. Run files and qrels are separated by white space, so an id
 * that holds some could not be read back.
 *
 * @param what e.g. `"query id"`.
 */
export function isGoodId(id: Span, what: string, input: InputFile, line: number): boolean {
  const { bytes, start, end } = id;
  let at = start;
  while (at < end) {
    const byte = bytes[at] as number;
    if (byte <= 0x20 || byte === 0x7f) break;
    at += 1;
  }
  if (at === end && end > start) return true;
  if (start === end) input.fault(line, `the ${what} is empty.`, "Give each record an id of its own.");
  else {
    const seen = JSON.stringify(shorten(decode(id)));
    input.fault(
      line,
      `the ${what} ${seen} holds white space or a control character.`,
      "Use ids without them, e.g. with _ instead: run files and qrels are separated by white space.",
    );
  }
  return false;
}

/**
 * A score as float32, or NaN for what is no finite one. Up to 15 characters are read without making a string: a whole number
 * below 2^53 divided by a power of ten up to 10^15 is rounded once, as the decimal itself would be.
 */
export function readScore(bytes: Uint8Array, start: number, end: number): number {
  let digits = 0;
  let scale = 0;
  let at = bytes[start] === MINUS ? start + 1 : start;
  const first = at;
  for (; at < end; at += 1) {
    const byte = bytes[at] as number;
    if (byte >= 0x30 && byte <= 0x39) {
      digits = digits * 10 + byte - 0x30;
      scale *= 10;
    } else if (byte === POINT && scale === 0) scale = 1;
    else break;
  }
  if (at === end && end - first <= 15 && end > first + (scale > 0 ? 1 : 0)) {
    const score = digits / (scale || 1);
    return Math.fround(first === start ? score : -score);
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
  if (!NUMBER.test(text)) return Number.NaN;
  const score = Math.fround(Number(text));
  return Number.isFinite(score) ? score : Number.NaN;
}

/** Whether a text is written as a number, finite or not: so that `1e39` and `NaN` count as bad scores, not as ids. */
export function looksLikeScore(text: string): boolean {
  return NUMBER.test(text) || /^[+-]?(nan|inf|infinity)$/i.test(text);
}

/** A text cut to what fits into a message. */
export function shorten(text: string, length = 60): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`;
}
