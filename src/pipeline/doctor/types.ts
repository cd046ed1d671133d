/** What the doctor is asked and what it answers. */
import type { DataOptions } from "../data.js";

/** What a check came to: refuse means that the experiment cannot run, or cannot be what was meant. */
export type CheckStatus = "ok" | "note" | "refuse";

/** One line of the report. */
export interface DoctorCheck {
  readonly group: "machine" | "data" | "tokens" | "pairs" | "training" | "cost";
  readonly check: string;
  readonly status: CheckStatus;
  /** What was seen, with its figures. */
  readonly seen: string;
  /** The edit or command that mends it; null where nothing has to be done. */
  readonly todo: string | null;
  /** Figures for programs. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** All that was looked at. */
export interface DoctorReport {
  readonly name: string;
  /** False when a check refuses. */
  readonly isFit: boolean;
  readonly checks: readonly DoctorCheck[];
}

/** How the doctor looks. */
export interface DoctorOptions extends DataOptions {
  /** Seconds of real training steps; 0 leaves the probe and the speed of encoding out. Default: 20. */
  readonly probeSeconds?: number;
  /** Judges by this much memory for each rank's device (of a CPU: for all ranks), not by this machine's. */
  readonly memoryBytes?: number;
  /** Judges by this much free disk, not by this machine's. */
  readonly diskBytes?: number;
  /** Hears what the Python half wrote besides its findings: warnings of libraries, traces. */
  readonly onLog?: (text: string) => void;
  /** Hears what is looked at next. */
  readonly onSection?: (section: string) => void;
}

/** Makes a check. */
export function check(
  group: DoctorCheck["group"],
  name: string,
  status: CheckStatus,
  seen: string,
  { todo = null, facts = {} }: Partial<Pick<DoctorCheck, "todo" | "facts">> = {},
): DoctorCheck {
  return { group, check: name, status, seen, todo, facts };
}
