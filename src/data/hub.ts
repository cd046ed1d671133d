/** Finds files of the Hugging Face hub in its client's local cache: with the file system only, so that a start takes milliseconds. */
import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";
import { QuarryError } from "../errors.js";
import type { SourceConfig } from "../experiment/schema.js";
import { homeFolder } from "../home.js";
import { isAbsent, systemCode } from "./failures.js";
import { listFiles } from "./source-files.js";

const SCHEME = "hf://";
const FORM = "hf://datasets/<owner>/<name>@<revision>/<path>";
const REPO_PART = /^[A-Za-z0-9_]([\w.-]{0,94}[A-Za-z0-9_])?$/;
const REVISION = /^\w[\w.+-]*(\/\w[\w.+-]*)*$/;
/** Revisions with slashes that may stand in a URL as they are, as the hub's own client reads them. */
const LONG_REVISION = /^(refs\/pr\/\d+|refs\/convert\/\w+)(\/|$)/;

/** A file of a data set on the hub, as `python -m quarry_runtime fetch` reads it. */
export interface HubFile {
  /** As the user wrote it. */
  readonly url: string;
  /** `owner/name`, or `name` alone. */
  readonly repo: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
  /** Inside the data set, with slashes. */
  readonly path: string;
}

/** Whether a path is meant for the hub. */
export function isHubUrl(path: string): boolean {
  return path.startsWith(SCHEME);
}

/**
 * Takes a URL apart. Without a revision it is `main`; a data set without owner needs one (`hf://datasets/squad@main/…`).
 * A slash in a revision is written %2F, save in refs/pr/<n> and refs/convert/<name>.
 *
 * @throws QuarryError CONFIG for whatever could not be a file of a data set, and for what would lead out of the cache.
 */
export function parseHubUrl(url: string): HubFile {
  const fault = (reason: string): QuarryError =>
    new QuarryError("CONFIG", `${url}: ${reason}.`, { hint: `A file of a data set on the hub is ${FORM}.` });
  if (!url.startsWith(`${SCHEME}datasets/`)) throw fault("no data set is named");
  const parts = url.slice(`${SCHEME}datasets/`.length).split("/");
  const repoParts = parts[0]?.includes("@") === true ? parts.splice(0, 1) : parts.splice(0, 2);
  const [repo = "", written, ...others] = repoParts.join("/").split("@");
  if (others.length > 0) throw fault('"@" stands there twice');
  const isRepo = repo.split("/").every((part) => REPO_PART.test(part)) && !/--|\.\.|\.git$/.test(repo);
  if (!isRepo) throw fault(`${JSON.stringify(repo)} is no name of a data set`);
  let revision = written === undefined ? "main" : decoded(written);
  const long = written === "refs" ? LONG_REVISION.exec(["refs", ...parts].join("/")) : null;
  if (long !== null) {
    revision = long[1] as string;
    parts.splice(0, 2);
  }
  if (revision === null || !REVISION.test(revision) || revision.includes("..")) {
    throw fault(`${JSON.stringify(written)} is no revision`);
  }
  if (parts.length === 0) throw fault("no file is named");
  for (const part of parts) {
    const isName = part !== "" && part !== "." && part !== ".." && !/[\\\p{Cc}]/u.test(part);
    if (!isName) throw fault(`${JSON.stringify(part)} cannot be a part of its path`);
  }
  return { url, repo, revision, path: parts.join("/") };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** The folder of the hub client's cache, by its own rules: HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, else in the home folder. */
export function hubCacheDir(env: Readonly<NodeJS.ProcessEnv> = process.env): string {
  // Where nothing tells the home folder, the client leaves the ~ as it is.
  const home = env["HOME"] || (homeFolder() ?? "~");
  const cache = env["XDG_CACHE_HOME"] || join(home, ".cache");
  const hub = env["HF_HUB_CACHE"] || env["HUGGINGFACE_HUB_CACHE"];
  const named = hub || join(env["HF_HOME"] || join(cache, "huggingface"), "hub");
  const atHome = named.replace(/^~(?=\/|$)/, home);
  const expanded = atHome.replace(/\$(\w+|\{\w+\})/g, (whole, name: string) => env[name.replace(/[{}]/g, "")] ?? whole);
  return resolve(expanded);
}

/** The path of a file in the cache, or null when it is not there. Nothing is fetched. */
export function locate({ repo, revision, path }: HubFile, cacheDir = hubCacheDir()): string | null {
  const folder = join(cacheDir, `datasets--${repo.replaceAll("/", "--")}`);
  const commit = readReference(join(folder, "refs", revision)) ?? revision;
  // What a reference says becomes one folder's name and nothing more.
  if (!/^\w[\w.-]*$/.test(commit)) return null;
  if (isFile(join(folder, ".no_exist", commit, path))) return null;
  const local = join(folder, "snapshots", commit, path);
  return isFile(local) ? local : null;
}

/**
 * Where a file lies, for whoever is about to read it.
 *
 * @throws QuarryError CONFIG for a URL that is none, ENVIRONMENT when it is not in the cache.
 */
export function hubPath(url: string): string {
  const file = parseHubUrl(url);
  const path = locate(file);
  if (path === null) throw missingFilesError([{ file, reason: "not in the cache" }]);
  return path;
}

/**
 * All files on the hub that sources read, each once, in order.
 *
 * @throws QuarryError CONFIG for a URL that is none, and for a corpus on the hub whose queries are not named.
 */
export function hubFilesOf(sources: readonly SourceConfig[]): HubFile[] {
  const found = new Map<string, HubFile>();
  for (const { corpus, queries, qrels, querySubset } of sources) {
    const first = listFiles(corpus)[0]?.path ?? "";
    if (isHubUrl(first) && queries === undefined && qrels !== undefined) {
      throw new QuarryError("CONFIG", `${first}: the queries of this source are not named.`, {
        hint: 'Name them, too: queries: "hf://datasets/…". Only beside a local corpus they are looked for.',
      });
    }
    for (const files of [corpus, queries, qrels, querySubset]) {
      if (files === undefined) continue;
      for (const { path } of listFiles(files)) if (isHubUrl(path)) found.set(path, parseHubUrl(path));
    }
  }
  return [...found.values()];
}

/** Those of the files that are not in the cache. */
export function missingHubFiles(files: readonly HubFile[], cacheDir = hubCacheDir()): HubFile[] {
  return files.filter((file) => locate(file, cacheDir) === null);
}

const fetchAnswer = z.strictObject({
  fetched: z.array(z.strictObject({ url: z.string(), path: z.string() })),
  missing: z.array(z.strictObject({ url: z.string(), reason: z.string() })),
});

/**
 * Reads what `python -m quarry_runtime fetch` answered.
 *
 * @throws QuarryError ENVIRONMENT that lists every file that is still missing, and why.
 */
export function checkFetched(files: readonly HubFile[], answer: unknown): void {
  const { missing } = fetchAnswer.parse(answer);
  const byUrl = new Map(files.map((file) => [file.url, file]));
  const named = missing.flatMap(({ url, reason }) => {
    const file = byUrl.get(url);
    return file === undefined ? [] : [{ file, reason }];
  });
  if (named.length > 0) throw missingFilesError(named);
}

/** One error about all files that are missing. */
function missingFilesError(missing: readonly { readonly file: HubFile; readonly reason: string }[]): QuarryError {
  const listed = missing.map(({ file, reason }) => `\n  ${file.url}: ${reason}`).join("");
  const count = missing.length === 1 ? "1 file of the hub is" : `${missing.length} files of the hub are`;
  const commands = missing.map(
    ({ file }) => `hf download --repo-type dataset ${file.repo} ${file.path} --revision ${file.revision}`,
  );
  const shown = [...new Set(commands)].slice(0, 3).join("; ");
  return new QuarryError("ENVIRONMENT", `${count} missing in ${hubCacheDir()}:${listed}`, {
    hint: `With a network: ${shown}${commands.length > 3 ? "; …" : ""}. Or point HF_HUB_CACHE at a cache that has them.`,
  });
}

function readReference(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (thrown) {
    if (isAbsent(thrown)) return null;
    throw thrown;
  }
}

function isFile(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
  } catch (thrown) {
    // A part of the path is a file, or a link leads in a circle.
    if (["ENOTDIR", "ELOOP"].includes(systemCode(thrown))) return false;
    throw thrown;
  }
}
