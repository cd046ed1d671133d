/** What a run has already achieved, one durable line each: the memory that a resume works from. */
import { type FileHandle, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { QuarryError } from "../errors.js";
import { diskError } from "./durable.js";

/** One thing that is done for good. `type` says what; the other fields are the writer's. */
export interface JournalEntry {
  readonly type: string;
  /** Milliseconds since the epoch; added when the entry is written. */
  readonly time: number;
  readonly [field: string]: unknown;
}

/** An append-only list of entries, in the order in which they became durable. */
export interface Journal {
  readonly entries: readonly JournalEntry[];
  /**
   * Durable when the promise resolves; entries keep the order of the calls.
   *
   * @throws QuarryError ENVIRONMENT when the disk refuses; the journal then ends before this entry.
   */
  append(entry: { readonly type: string; readonly [field: string]: unknown }): Promise<void>;
  close(): Promise<void>;
}

const newline = 0x0a;
const utf8 = new TextDecoder("utf-8", { fatal: true });

// The last field of a line, over the object that the line is without it.
const seal = /,"crc32":"([0-9a-f]{8})"\}$/;

const checksum = (json: string): string => crc32(json).toString(16).padStart(8, "0");

function toLine(entry: JournalEntry): string {
  const json = JSON.stringify(entry);
  return `${json.slice(0, -1)},"crc32":"${checksum(json)}"}`;
}

/** The line without its checksum; null where that fails. Lines of earlier versions have none. */
function unsealed(text: string): string | null {
  const found = seal.exec(text);
  if (found === null) return text;
  const json = `${text.slice(0, found.index)}}`;
  return checksum(json) === found[1] ? json : null;
}

function parseEntry(line: Uint8Array): JournalEntry | null {
  try {
    // Decoded loosely, bytes that are no UTF-8 would pass for another text.
    const value: unknown = JSON.parse(unsealed(utf8.decode(line)) ?? "");
    const isEntry = typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
    return isEntry ? (value as JournalEntry) : null;
  } catch {
    return null;
  }
}

/** Whether a power cut left blocks of the line as zeros; a single zero is a flipped bit of a space or an @. */
const hasZeros = (line: Uint8Array): boolean => line.indexOf(0) !== line.lastIndexOf(0);

/**
 * The entries of a journal, and how many bytes they take. A torn write is dropped: a last line without its newline, or
 * with blocks that a power cut left as zeros. Any other broken line was durable once, and is damage; so is a whole last
 * line that ends in another byte than a newline.
 */
function parseEntries(raw: Buffer, path: string): { entries: JournalEntry[]; bytes: number } {
  const entries: JournalEntry[] = [];
  const damage = () =>
    new QuarryError("INTEGRITY", `${path}:${entries.length + 1}: this line of the journal is damaged.`, {
      hint: "Choose another folder with --runDir, or restore the file from a copy.",
    });
  let bytes = 0;
  for (let end = raw.indexOf(newline); end >= 0; end = raw.indexOf(newline, bytes)) {
    const line = raw.subarray(bytes, end);
    const entry = parseEntry(line);
    if (entry === null && end === raw.lastIndexOf(newline) && hasZeros(line)) break;
    if (entry === null) throw damage();
    entries.push(entry);
    bytes = end + 1;
  }
  if (raw.at(-1) !== 0 && parseEntry(raw.subarray(bytes, -1)) !== null) throw damage();
  return { entries, bytes };
}

class FileJournal implements Journal {
  #last: Promise<void> = Promise.resolve();

  constructor(
    private readonly path: string,
    private readonly file: FileHandle,
    readonly entries: JournalEntry[],
    /** Where the next line begins. */
    private bytes: number,
  ) {}

  append(fields: { readonly type: string; readonly [field: string]: unknown }): Promise<void> {
    const entry: JournalEntry = { ...fields, time: Date.now() };
    const written = this.#last.then(() => this.#write(entry));
    // One refused entry must not refuse those after it.
    this.#last = written.catch(() => {});
    return written;
  }

  async #write(entry: JournalEntry): Promise<void> {
    const line = Buffer.from(`${toLine(entry)}\n`);
    try {
      await this.file.appendFile(line);
      await this.file.datasync();
    } catch (thrown) {
      // Half a line may be there; the next entry must not be glued to it.
      await this.file.truncate(this.bytes).catch(() => {});
      throw diskError(thrown, dirname(this.path));
    }
    this.bytes += line.length;
    this.entries.push(entry);
  }

  async close(): Promise<void> {
    await this.#last;
    await this.file.close();
  }
}

/**
 * Opens a journal, or begins one.
 *
 * @throws QuarryError INTEGRITY with file:line when a line is damaged; a torn last one is dropped.
 */
export async function openJournal(path: string): Promise<Journal> {
  const file = await open(path, "a+", 0o644);
  try {
    const { entries, bytes } = parseEntries(await file.readFile(), path);
    await file.truncate(bytes);
    return new FileJournal(path, file, entries, bytes);
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}

/**
 * The entries of a journal that somebody else may be writing; nothing is changed. None where there is no journal.
 *
 * @throws QuarryError INTEGRITY with file:line when a line is damaged; a torn last one is dropped.
 */
export async function readJournal(path: string): Promise<Journal["entries"]> {
  const raw = await readFile(path).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === "ENOENT") return Buffer.alloc(0);
    throw diskError(thrown, dirname(path));
  });
  return parseEntries(raw, path).entries;
}
