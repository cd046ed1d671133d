/** `quarry measure` and `quarry compare`: other people's runs, folders of evaluations, refusals. */
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compareRuns, measureRun } from "../../src/index.js";
import { commandLine } from "../fixtures/command-line.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-measure-"));
  const queries = Array.from({ length: 8 }, (_, at) => `q${at}`);
  const run = (rankOf: (at: number) => number) =>
    queries
      .flatMap((query, at) =>
        Array.from({ length: 10 }, (_, place) => {
          const passage = place + 1 === rankOf(at) ? "good" : `x${place}`;
          return `${query} Q0 ${passage} ${place + 1} ${10 - place} t\n`;
        }),
      )
      .join("");
  const qrels = queries.map((query) => `${query} 0 good 2\n${query} 0 x9 1\n`).join("");
  const [plain, better] = [run((at) => 2 + (at % 3)), run((at) => (at === 0 ? 4 : 1))];
  await writeFile(join(folder, "plain.run"), `${plain}stranger Q0 x 1 1 t\n`);
  await writeFile(join(folder, "better.run.gz"), gzipSync(better));
  await writeFile(join(folder, "qrels.trec.gz"), gzipSync(qrels));
  const rows = queries.map((query) => `${query}\tgood\t2\n${query}\tx9\t1\n`).join("");
  await writeFile(join(folder, "qrels.tsv"), `query-id\tcorpus-id\tscore\n${rows}never\tgood\t1\n`);
  const heading = "query-id\tcorpus-id\tscore\n";
  await writeFile(join(folder, "empty.run"), "");
  await writeFile(join(folder, "heading.tsv"), heading);
  await writeFile(join(folder, "strangers.tsv"), `${heading}nobody\tgood\t1\n`);
  await writeFile(join(folder, "high.tsv"), `${heading}q0\tgood\t20000\n`);
  for (const [name, text] of [["one", plain] as const, ["two", better] as const]) {
    const step = join(folder, "runs", name, "evaluate-base");
    await mkdir(step, { recursive: true });
    await writeFile(join(step, "run.trec"), text);
    await writeFile(join(step, "qrels.trec"), qrels);
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const quarry = (...argv: string[]) => commandLine(argv, { cwd: folder });

describe("quarry measure", () => {
  test("scores somebody else's run, and says which queries count and which do not", async () => {
    const { exitCode, stdout } = await quarry(
      "measure",
      "plain.run",
      "qrels.tsv",
      "--measures",
      "mrr@10,P(rel=2)@5",
      "NumQ",
    );
    expect(exitCode).toBe(0);
    expect(stdout.trimEnd().split("\n")).toEqual([
      "RR@10       0.3333",
      "P(rel=2)@5  0.1778",
      "NumQ        9",
      "(9 queries; 1 judged ones without results counted as 0; 1 of the run's without judgement left out)",
    ]);
  });

  test("reads packed files, takes a level, leaves out what has no results, writes JSON", async () => {
    const { stdout } = await quarry(
      "measure",
      "better.run.gz",
      "qrels.tsv",
      "--level",
      "2",
      "--skip-missing",
      "--json",
      "--measures",
      "RR",
    );
    expect(JSON.parse(stdout)).toMatchObject({
      mean: { RR: (7 + 1 / 4) / 8 },
      queryCount: 8,
      withoutResults: 1,
      unjudged: 0,
    });
    const packed = await measureRun(join(folder, "better.run.gz"), {
      qrels: join(folder, "qrels.trec.gz"),
      measures: ["RR"],
    });
    expect(packed.mean).toEqual({ RR: (7 + 1 / 4) / 8 });
  });

  test("takes a damaged qrels file for what it is", async () => {
    const packed = gzipSync("q0 0 good 2\n");
    for (const [name, bytes] of [
      ["flipped.gz", packed.with(packed.length - 8, (packed.at(-8) ?? 0) ^ 1)],
      ["longer.gz", Buffer.concat([packed, Buffer.from("rest")])],
    ] as const) {
      await writeFile(join(folder, name), bytes);
      const { stderr, exitCode } = await quarry("measure", "plain.run", name);
      expect(stderr).toContain(`${name}: the gzip data is damaged (Z_DATA_ERROR).`);
      expect(exitCode).toBe(3);
    }
  });

  test("takes the one evaluation of a run, whatever was searched in its folder", async () => {
    const search = join(folder, "runs", "one", "search-base-0123");
    await mkdir(search);
    await writeFile(join(search, "run.trec"), "s1 Q0 x 1 1 t\n");
    const { stdout } = await quarry("measure", "runs/one", "--measures", "RR");
    await rm(search, { recursive: true });
    expect(stdout).toContain("(8 queries)");
  });

  test("takes the folder of an evaluation with its own judgements", async () => {
    const { stdout } = await quarry("measure", "runs/one", "--measures", "RR", "--per-query");
    expect(stdout).toMatch(/^query +RR\n─+ +─+\nq0 +0\.5000\n/);
    expect(stdout).toContain("(8 queries)");
  });

  test.each([
    [["measure", "plain.run", "nowhere.tsv"], 2, "nowhere.tsv"],
    [
      ["measure", "plain.run"],
      2,
      "error: the judgements are missing.\nhint: Name them behind the run: quarry measure plain.run <qrels>",
    ],
    [["measure", "qrels.tsv", "plain.run"], 2, "plain.run: holds a run, but judgements were expected"],
    [["measure", "qrels.tsv", "qrels.tsv"], 3, "qrels.tsv:1: not a line of a run"],
    [["measure", "empty.run", "qrels.tsv"], 3, "empty.run: it holds no results."],
    [["measure", "plain.run", "strangers.tsv"], 3, "plain.run: none of its 9 queries is judged."],
    [["measure", "plain.run", "heading.tsv"], 3, "heading.tsv: holds no judgements."],
    [["measure", "plain.run", "high.tsv"], 3, "high.tsv:2: grades go up to 10000, saw 20000."],
    [["measure", "plain.run", "qrels.tsv", "--measures", "nDGC@10"], 2, "did you mean nDCG@10?"],
    [["measure", "runs"], 2, "runs: holds 2 evaluations"],
    [["measure", "plain.run", "qrels.tsv", "--level", "0"], 2, "--level: expected a whole number from 1 on, saw 0"],
  ])("refuses %j with status %i", async (argv, status, message) => {
    const { exitCode, stderr } = await quarry(...argv);
    expect(stderr).toContain(message);
    expect(exitCode).toBe(status);
  });
});

test("the runtime's own words are told, whatever libraries say before them and whatever they hold", async () => {
  await writeFile(join(folder, "two\nlines.run"), "nonsense\n");
  const { stderr, exitCode } = await commandLine(["measure", "two\nlines.run", "qrels.tsv"], {
    cwd: folder,
    // ld.so says "ERROR: ld.so: object …".
    env: { LD_PRELOAD: "/no/such.so" },
  });
  expect(stderr).toMatch(/^error: .*two\n.*lines\.run:1: not a line of a run.*\nhint: /);
  expect(exitCode).toBe(3);
});

test("ids and names of files that others made cannot repaint the terminal; JSON has them as they are", async () => {
  const [evil, seen] = ["q1\u001b[31m\u001b]0;own\u0007", "q1"];
  const name = "na\u001b[31mme";
  await writeFile(join(folder, `${name}.run`), `${evil} Q0 x 1 1 t\n${evil} Q0 good 2 0 t\n`);
  await writeFile(join(folder, "evil-better.run"), `${evil} Q0 good 1 1 t\n`);
  await writeFile(join(folder, "evil-twice.run"), `${evil} Q0 x 1 1 t\n${evil} Q0 x 2 0 t\n`);
  await writeFile(join(folder, "evil.qrels"), `${evil} 0 good 1\n`);
  const options = ["--measures", "RR"];
  const each = await quarry("measure", `${name}.run`, "evil.qrels", "--per-query", ...options);
  expect(each.stdout).toBe(`query      RR\n─────  ──────\n${seen}     0.5000\n\nRR  0.5000\n(1 query)`);
  const compared = await quarry("compare", `${name}.run`, "evil-better.run", "--qrels", "evil.qrels", ...options);
  expect(compared.stdout).not.toMatch(/[^\P{Cc}\n]/u);
  expect(compared.stdout).toMatch(/^1 query\n\nname.run → evil-better.run\n[^]*\nq1 +0\.5000 +1\.0000/);
  const refused = await quarry("measure", "evil-twice.run", "evil.qrels");
  expect(refused.stderr).toContain(`passage x twice for query ${seen}`);
  expect(refused.stderr).not.toMatch(/[^\P{Cc}\n]/u);
  const json = await quarry("measure", `${name}.run`, "evil.qrels", "--json", ...options);
  expect(Object.keys(JSON.parse(json.stdout).queries)).toEqual([evil]);
});

describe("quarry compare", () => {
  test("takes names that begin with a dash", async () => {
    await copyFile(join(folder, "plain.run"), join(folder, "-a.run"));
    const { stdout } = await quarry("compare", "--qrels", "qrels.tsv", "better.run.gz", "--", "-a.run");
    expect(stdout).toContain("better.run.gz → -a.run");
  });

  test("tells the difference, its tests, and the queries that moved most", async () => {
    const { exitCode, stdout } = await quarry("compare", "runs/one", "runs/two", "--measures", "RR,R@5", "--top", "2");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^8 queries\n\nruns\/one → runs\/two\n/);
    expect(stdout).toMatch(/^RR +0\.3750 +0\.9063 +\+0\.5313 .* 7 +0 +1$/m);
    expect(stdout).toContain("p in brackets: corrected for 2 comparisons (Holm)");
    expect(stdout).toMatch(/biggest gains of RR\n.*\n.*\nq2 +0\.2500 +1\.0000 +\+0\.7500\nq5 /);
    expect(stdout).toMatch(/biggest losses of RR\n.*\n.*\nq0 +0\.5000 +0\.2500 +-0\.2500/);
  });

  test("is a function as well, whose answer is the command's JSON", async () => {
    const runs = ["plain.run", "better.run.gz"].map((name) => join(folder, name));
    const options = { qrels: join(folder, "qrels.tsv"), measures: ["RR"], missing: "skip" as const };
    const found = await compareRuns(runs, options);
    expect(found.queryCount).toBe(8);
    expect(found.comparisons).toMatchObject([{ wins: 7, losses: 1, randomisation: { isExact: true, samples: 256 } }]);
    const { stdout } = await quarry(
      "compare",
      ...runs,
      "--qrels",
      "qrels.tsv",
      "--measures",
      "RR",
      "--skip-missing",
      "--json",
    );
    expect(JSON.parse(stdout)).toEqual(found);
  });

  test("refuses a level that is not that of a file of values, and names a file that tells none", async () => {
    const values = await measureRun(join(folder, "runs", "one"), { measures: ["RR"] });
    await writeFile(join(folder, "one.json"), JSON.stringify(values));
    const refused = await quarry("compare", "one.json", "one.json", "--measures", "RR", "--level", "2");
    expect(refused.stderr).toContain("one.json: its relevance level is 1, that of this comparison 2");
    expect(refused.exitCode).toBe(2);
    const { basis: _, ...older } = values;
    await writeFile(join(folder, "older.json"), JSON.stringify(older));
    const { stdout } = await quarry("compare", "older.json", "runs/one", "--measures", "RR");
    expect(stdout).toContain("8 queries\nolder.json: does not say by which level and judgements it was measured\n");
    expect(stdout).toMatch(/ 0 +8 +0$/m);
  });

  test("compares files of values by the measures that all of them have, where they lack a default one", async () => {
    const files = { "short.json": ["RR", "P@5", "NumRet"], "other.json": ["P@5", "RR", "nDCG@10", "NumRet"] };
    for (const [name, measures] of Object.entries(files)) {
      const values = await measureRun(join(folder, "runs", "one"), { measures });
      await writeFile(join(folder, name), JSON.stringify(values));
    }
    const found = await compareRuns(Object.keys(files).map((name) => join(folder, name)));
    expect(found.comparisons.map(({ measure }) => measure)).toEqual(["RR", "P@5"]);
  });

  test("refuses runs that were judged differently, and a single run", async () => {
    await writeFile(join(folder, "runs", "two", "evaluate-base", "qrels.trec"), "q0 0 good 1\n");
    const { exitCode, stderr } = await quarry("compare", "runs/one", "runs/two");
    expect(exitCode).toBe(2);
    expect(stderr).toContain("the runs were judged differently");
    expect((await quarry("compare", "runs/one")).stderr).toContain("a comparison needs two runs or more");
  });
});
