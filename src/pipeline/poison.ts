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
 * @param failed units that a job gave up, with the rows they consist of
 * @throws QuarryError what ends the pool; INTERRUPTED on request
 */
export async function findPoison(
  pool: WorkerPool,
  job: PoisonJob,
  failed: readonly (FailedUnit & { readonly unitRows: Int32Array })[],
): Promise<Poison[]> {
  const poison: Poison[] = [];
  let suspects = failed.flatMap((unit) => narrow(unit, unit.unitRows, poison));
  for (let round = 0; suspects.length > 0; round++) {
    const outcome = await pool.encode({
      ...job,
      units: listOf(suspects, job.gather, round),
      onVectors: async () => {},
    });
    const byId = new Map(outcome.failed.map((unit) => [unit.unit, unit]));
    suspects = suspects.flatMap((rows, index) => {
      const found = byId.get(idOf(round, index));
      return found === undefined ? [] : narrow(found, rows, poison);
    });
  }
  return poison.sort((left, right) => left.row - right.row);
}

/** Sets of rows to try next; rows that are known to be at fault go to `poison`. */
function narrow({ rows, code, message }: FailedUnit, unitRows: Int32Array, poison: Poison[]): Int32Array[] {
  if (rows.length < unitRows.length || unitRows.length === 1) {
    const named = new Set(rows.length < unitRows.length ? rows : unitRows);
    for (const row of named) poison.push({ row, code, message });
    const others = unitRows.filter((row) => !named.has(row));
    return others.length === 0 ? [] : [others];
  }
  const half = unitRows.length >> 1;
  return [unitRows.subarray(0, half), unitRows.subarray(half)];
}

const idOf = (round: number, index: number): string => `bisect-${round}-${index}`;

function listOf(sets: readonly Int32Array[], gather: PoisonJob["gather"], round: number): UnitList {
  const rows = (index: number): Int32Array => sets[index] as Int32Array;
  return {
    count: sets.length,
    id: (index) => idOf(round, index),
    rowCount: (index) => rows(index).length,
    rows,
    frame: (index) => gather(rows(index)),
  };
}
