/** How the doctor's report is printed: group by group, what was seen, and what to do where something is to be done. */
import type { CheckStatus, DoctorCheck, DoctorReport } from "../../index.js";
import { layoutOf, plain } from "../data/layout.js";

const GROUPS = ["machine", "data", "tokens", "pairs", "training", "cost"] as const;
const MARKS: Readonly<Record<CheckStatus, string>> = { ok: "ok    ", note: "note  ", refuse: "REFUSE" };

/** The report as lines; nothing is cut, because places and figures must be readable in a log. */
export function describeDoctor({ name, checks }: DoctorReport): string {
  const layout = layoutOf(process.stdout, true);
  const line = ({ check, status, seen, todo }: DoctorCheck): string[] => [
    `  ${MARKS[status]} ${plain(check, layout)}: ${plain(seen, layout)}`,
    ...(todo === null ? [] : [`         → ${plain(todo, layout)}`]),
  ];
  const parts = GROUPS.flatMap((group) => {
    const own = checks.filter((check) => check.group === group);
    return own.length === 0 ? [] : [[group, ...own.flatMap(line)].join("\n")];
  });
  return [...parts, verdict(name, checks)].join("\n\n");
}

function verdict(name: string, checks: readonly DoctorCheck[]): string {
  const of = (status: CheckStatus): number => checks.filter((check) => check.status === status).length;
  const counts = `${of("ok")} ok, ${of("note")} to look at, ${of("refuse")} refused`;
  return of("refuse") > 0 ? `${name}: do not start this (${counts}).` : `${name}: can start (${counts}).`;
}
