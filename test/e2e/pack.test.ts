/** The npm package as somebody else gets it: packed, installed into an empty project, run, type-checked. */
import { mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findPython, type PythonEnvironment } from "../../src/python/environment.js";
import { ROOT } from "./harness.js";

interface Lock {
  lockfileVersion: number;
  packages: Record<string, { dev?: boolean; [field: string]: unknown }>;
}

let folder: string;
let files: string[];
const project = (...parts: string[]): string => join(folder, ...parts);
const json = async (path: string): Promise<unknown> => JSON.parse(await readFile(path, "utf8"));

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "quarry-pack-")));
  const packed = await execa("npm", ["pack", "--json", "--pack-destination", folder], { cwd: ROOT });
  // What the build says on the way comes first.
  const listing = packed.stdout.slice(packed.stdout.search(/^[[{]/m));
  const answer = JSON.parse(listing) as Record<string, { filename: string; files: { path: string }[] }>;
  const tarball = Object.values(answer)[0];
  files = tarball?.files.map(({ path }) => path) ?? [];
  const dependencies = { quarry: `file:${tarball?.filename ?? ""}` };
  const empty = { name: "empty", version: "1.0.0", type: "module", dependencies };
  await writeFile(project("package.json"), JSON.stringify(empty));
  await writeFile(project("package-lock.json"), JSON.stringify(await lockOf(empty)));
  // Every other package lies in npm's cache since this checkout was set up, so no network is needed.
  await execa("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund"], { cwd: folder });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** A lock file for the empty project: this checkout's own versions of what Quarry depends on. */
async function lockOf(empty: { name: string; version: string; dependencies: { quarry: string } }): Promise<Lock> {
  const { lockfileVersion, packages } = (await json(join(ROOT, "package-lock.json"))) as Lock;
  const own = (await json(join(ROOT, "package.json"))) as Record<string, unknown>;
  const needed = Object.entries(packages).filter(([path, entry]) => path !== "" && !entry.dev);
  const { version, dependencies, bin, engines } = own;
  const quarry = { version, resolved: empty.dependencies.quarry, dependencies, bin, engines };
  return { lockfileVersion, packages: { "": empty, "node_modules/quarry": quarry, ...Object.fromEntries(needed) } };
}

test("the package holds what is run and read, and nothing of the workshop", () => {
  const wanted = ["LICENSE", "README.md", "dist/cli/main.js", "dist/index.d.ts", "examples/quickstart.ts"];
  const runtime = ["install.py", "constraints.txt", "requirements/runtime.txt", "quarry_runtime/__main__.py"];
  expect(files).toEqual(expect.arrayContaining([...wanted, ...runtime.map((name) => `py_runtime/${name}`)]));
  const workshop = /^(src|test|scripts)\/|__pycache__|\.pyc$|\.map$|\/\./;
  expect(files.filter((path) => workshop.test(path))).toEqual([]);
});

test("npx quarry runs", async () => {
  const { version } = (await json(join(ROOT, "package.json"))) as { version: string };
  const shown = await execa("npx", ["--no-install", "quarry", "--version"], { cwd: folder });
  expect(shown.stdout.trim()).toBe(version);
  const help = await execa("npx", ["--no-install", "quarry", "--help"], { cwd: folder });
  expect(help.stdout).toContain("evaluate");
});

/** The compiler's complaints about a script of the project, `null` when there are none. */
async function complaints(script: string): Promise<string | null> {
  await writeFile(project("experiment.ts"), script);
  const compilerOptions = { module: "nodenext", target: "es2023", strict: true, noEmit: true, skipLibCheck: true };
  await writeFile(project("tsconfig.json"), JSON.stringify({ compilerOptions, files: ["experiment.ts"] }));
  const compiler = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  const checked = await execa(process.execPath, [compiler, "-p", "."], { cwd: folder, reject: false });
  return checked.exitCode === 0 ? null : checked.stdout;
}

const experiment = (option: string): string => `
  import { biEncoder, defineExperiment, evaluate, type RunResult, source } from "quarry";
  const data = source({ corpus: "corpus.jsonl", qrels: "test.tsv" });
  export const experiment = defineExperiment({
    name: "mine", model: biEncoder("model"), evaluate: { data, measures: ["nDCG@10"], ${option} },
  });
  export const outcome: Promise<RunResult> = evaluate(experiment);
`;

test('import … from "quarry" is typed, and a misspelt option does not compile', async () => {
  expect(await complaints(experiment("topK: 10"))).toBeNull();
  expect(await complaints(experiment("topk: 10"))).toMatch(/topk.*does not exist|topK/);
});

test("the Python runtime comes along and runs from the package", async () => {
  const { executable } = await findPython({ extras: ["demo", "test"] });
  const installed = project("node_modules", "quarry");
  const script = `
    import { findPython } from ${JSON.stringify(pathToFileURL(join(installed, "dist/python/environment.js")).href)};
    process.stdout.write(JSON.stringify(await findPython({ extras: ["demo"] })));
  `;
  const found = await execa(process.execPath, ["--input-type=module", "-e", script], {
    cwd: folder,
    env: { QUARRY_PYTHON: dirname(dirname(executable)), PYTHONPATH: "" },
  });
  const python = JSON.parse(found.stdout) as PythonEnvironment;
  const where = "import quarry_runtime; print(quarry_runtime.__file__)";
  const answer = await execa(python.executable, ["-c", where], { env: python.env, extendEnv: false });
  expect(answer.stdout).toBe(join(installed, "py_runtime", "quarry_runtime", "__init__.py"));
});
