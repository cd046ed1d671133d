/** Counts what a stage of `npm test` did, from the report it wrote. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * @param {import("./stages.mjs").Stage} stage
 * @param {string} reports folder of the reports
 * @param {boolean} isFine whether every command ended with status 0
 * @returns {{ passed: number, failed: number, skipped: number }}
 */
export function count(stage, reports, isFine) {
  const tests = stage.counts === "vitest" ? fromVitest(stage, reports) : fromPytest(stage, reports);
  // Without report, or with a complaint about no single test, the stage itself is what failed.
  if (tests === null || stage.counts === "check") return { passed: isFine ? 1 : 0, failed: isFine ? 0 : 1, skipped: 0 };
  if (!isFine && tests.failed === 0) return { ...tests, failed: 1 };
  return tests;
}

function fromVitest(stage, reports) {
  const path = join(reports, `${stage.name}.json`);
  if (!existsSync(path)) return null;
  const report = JSON.parse(readFileSync(path, "utf8"));
  // A file that does not load has no tests to count: it counts as one that failed.
  const broken = report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0);
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

function fromPytest(stage, reports) {
  const path = join(reports, `${stage.name}.xml`);
  if (!existsSync(path)) return null;
  const head = readFileSync(path, "utf8").match(/<testsuite [^>]*>/)?.[0] ?? "";
  const number = (name) => Number(head.match(new RegExp(` ${name}="(\\d+)"`))?.[1] ?? 0);
  const failed = number("failures") + number("errors");
  return { passed: number("tests") - failed - number("skipped"), failed, skipped: number("skipped") };
}
