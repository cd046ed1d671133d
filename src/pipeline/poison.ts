/** Finds the texts that make a unit fail, by cutting failed units in halves until they stand alone. */
import type { ErrorCode } from "../errors.js";
import type { EncodeJob, FailedUnit, UnitList, WorkerPool } from "../pool/types.js";

/** A text that cannot be encoded: its vector is not finite, or it ends whatever worker tries. */
export interface Poison {
  readonly row: number;
  readonly code: ErrorCode;
  readonly message: string;
}

/** What the search for poison needs of a job. */
export interface PoisonJob extends Pick<EncodeJob, "phase" | "model" | "side" | "batchSize" | "signal"> {
  /** Arrow IPC stream of some rows. */
  readonly gather: (rows: Int32Array) => Uint8Array;
}

/**
 * Names the texts behind failed units; what is not named encodes without a fault.
 *
 * Texts that the worker could name are taken at its word, and the rest of their unit is tried again; else the unit is cut
 * in halves. A unit of n texts with one poison among them is found in log2(n) rounds, all units side by side.
 *
 * @throws QuarryError what ends the pool; INTERRUPTED on request
 */
export async function findPoison(pool: WorkerPool, job: PoisonJob, failed: readonly FailedUnit[]): Promise<Poison[]> {
  const poison: Poison[] = [];
  let suspects = failed.flatMap((unit) => narrow(unit, poison));
  for (let round = 0; suspects.length > 0; round++) {
    const units = listOf(suspects, job.gather, round);
    const outcome = await pool.encode({ ...job, units, onVectors: async () => {} });
    suspects = outcome.failed.flatMap((unit) => narrow(unit, poison));
  }
  return poison.sort((left, right) => left.row - right.row);
}

/** Sets of rows to try next; rows that are known to be at fault go to `poison`. */
function narrow({ rows, unitRows, code, message }: FailedUnit, poison: Poison[]): Int32Array[] {
  if (rows.length < unitRows.length || unitRows.length === 1) {
    const named = new Set(rows);
    for (const row of named) poison.push({ row, code, message });
    const others = unitRows.filter((row) => !named.has(row));
    return others.length === 0 ? [] : [others];
  }
  const half = unitRows.length >> 1;
  return [unitRows.subarray(0, half), unitRows.subarray(half)];
}

function listOf(sets: readonly Int32Array[], gather: PoisonJob["gather"], round: number): UnitList {
  const rows = (index: number): Int32Array => sets[index] as Int32Array;
  return {
    count: sets.length,
    id: (index) => `bisect-${round}-${index}`,
    rowCount: (index) => rows(index).length,
    rows,
    frame: (index) => gather(rows(index)),
  };
}
