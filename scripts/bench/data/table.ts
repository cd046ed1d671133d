/** Turns the figures of the data benchmark into Markdown: one table for each size, one column for each rival. */
import type { CollectionCounts } from "./make-collection.js";
import { PEERS, type Peer, type PeerFigures } from "./peers.js";
import type { QuarryFigures } from "./quarry.js";

/** What was measured on one collection; `load` is the machine's one-minute load when it began. */
export interface SizeFigures {
  readonly counts: CollectionCounts;
  readonly peers: Partial<Record<Peer, PeerFigures & { readonly load: number }>>;
  readonly quarry: (QuarryFigures & { readonly load: number }) | null;
}

/** What it was measured on. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly quarry: string;
  /** Queries in each of Quarry's batches. */
  readonly batch: number;
}

/** A figure and how it is written; null where a rival has no such figure. */
interface Row {
  readonly label: string;
  readonly quarry: number | null;
  peer(figures: PeerFigures): number | null;
  readonly show: (value: number) => string;
  /** Whether more is better; decides which way the ratio goes. */
  readonly isRate?: boolean;
}

const NAMES: Record<Peer, string> = {
  trove: "Trove",
  tevatron: "Tevatron's inlined files",
  dictionaries: "dictionaries",
};

const seconds = (value: number): string => (value < 10 ? `${value.toFixed(2)} s` : `${value.toFixed(1)} s`);
const megabytes = (value: number): string =>
  value < 1e9 ? `${(value / 1e6).toFixed(0)} MB` : `${(value / 1e9).toFixed(2)} GB`;
const rate = (value: number): string => Math.round(value).toLocaleString("en-US");

function rowsOf(quarry: QuarryFigures | null): Row[] {
  const none = (): null => null;
  const changed = quarry?.changedSeconds;
  return [
    {
      label: "first sample, first run",
      quarry: quarry?.firstRunSeconds ?? null,
      peer: (peer) => peer.firstRun.withStart,
      show: seconds,
    },
    { label: "the same, imports not counted", quarry: null, peer: (peer) => peer.firstRun.seconds, show: seconds },
    {
      label: "first sample, later runs (best)",
      quarry: quarry?.laterSeconds.best ?? null,
      peer: (peer) => peer.laterSeconds.bestWithStart,
      show: seconds,
    },
    { label: "the same, median", quarry: quarry?.laterSeconds.median ?? null, peer: none, show: seconds },
    {
      label: "the same, imports not counted (best)",
      quarry: null,
      peer: (peer) => peer.laterSeconds.best,
      show: seconds,
    },
    { label: "after changing groupRandomK", quarry: changed?.groupRandomK ?? null, peer: none, show: seconds },
    { label: "after changing minScore", quarry: changed?.minScore ?? null, peer: none, show: seconds },
    { label: "after changing scoreTransform", quarry: changed?.scoreTransform ?? null, peer: none, show: seconds },
    {
      label: "groups/s, texts as Python strings in the consumer, first round",
      quarry: quarry?.strings.groupsPerSecond.first ?? null,
      peer: (peer) => peer.groupsPerSecond.first,
      show: rate,
      isRate: true,
    },
    {
      label: "the same, second round",
      quarry: quarry?.strings.groupsPerSecond.later ?? null,
      peer: (peer) => peer.groupsPerSecond.later,
      show: rate,
      isRate: true,
    },
    {
      label: "the same, by a new process once the collection is in memory",
      quarry: quarry?.warm.groupsPerSecond.later ?? null,
      peer: () => null,
      show: rate,
    },
    {
      label: "groups/s, received only, second round",
      quarry: quarry?.receive.groupsPerSecond.later ?? null,
      peer: none,
      show: rate,
      isRate: true,
    },
    {
      label: "private memory, 1 consumer",
      quarry: quarry?.strings.totalBytes ?? null,
      peer: (peer) => peer.processBytes,
      show: megabytes,
    },
    {
      label: "private memory, 8 consumers (peers: 8 times one)",
      quarry: quarry?.eight.totalBytes ?? null,
      peer: (peer) => peer.processBytes * 8,
      show: megabytes,
    },
    {
      label: "of one process, without its imports",
      quarry: null,
      peer: (peer) => peer.processBytes - peer.importBytes,
      show: megabytes,
    },
    {
      label: "peak private memory of preparation",
      quarry: quarry?.preparationPeakBytes ?? null,
      peer: (peer) => peer.preparationPeakBytes,
      show: megabytes,
    },
    {
      label: "disk beside the collection",
      quarry: quarry?.diskBytes ?? null,
      peer: (peer) => peer.diskBytes,
      show: megabytes,
    },
  ];
}

function cell(row: Row, figures: PeerFigures): string {
  const value = row.peer(figures);
  if (value === null) return "";
  if (row.quarry === null || value === 0) return row.show(value);
  const ratio = row.isRate === true ? row.quarry / value : value / row.quarry;
  return `${row.show(value)} (×${ratio < 10 ? ratio.toFixed(1) : Math.round(ratio).toLocaleString("en-US")})`;
}

/** Markdown tables; ratios in brackets say how many times better Quarry is. */
export function toMarkdown(machine: Machine, results: readonly SizeFigures[]): string {
  const out = [
    `${machine.cpu}, ${machine.cores} cores, ${megabytes(machine.memoryBytes)}, Linux ${machine.kernel}, Node ` +
      `${machine.node}, Quarry ${machine.quarry}; batches of ${machine.batch} queries with 1 + 7 passages.`,
  ];
  for (const { counts, peers, quarry } of results) {
    const measured = PEERS.filter((peer) => peers[peer] !== undefined);
    const titles = ["", ...(quarry === null ? [] : ["Quarry"]), ...measured.map((peer) => NAMES[peer])];
    const numbers = [counts.passages, counts.queries, counts.positives, counts.negatives].map(rate);
    out.push(
      "",
      `### ${numbers[0]} passages, ${numbers[1]} queries, ${numbers[2]} positives, ${numbers[3]} negatives`,
      "",
      `| ${titles.join(" | ")} |`,
      `| ${titles.map(() => "---").join(" | ")} |`,
    );
    for (const row of rowsOf(quarry)) {
      const own = quarry === null ? [] : [row.quarry === null ? "" : row.show(row.quarry)];
      const cells = [...own, ...measured.map((peer) => cell(row, peers[peer] as PeerFigures))];
      if (cells.some((each) => each !== "")) out.push(`| ${[row.label, ...cells].join(" | ")} |`);
    }
    const loads = [...measured.map((peer) => [NAMES[peer], peers[peer]?.load] as const), ["Quarry", quarry?.load]];
    const told = loads.flatMap(([name, load]) => (load === undefined ? [] : [`${name} ${Number(load).toFixed(1)}`]));
    out.push("", `Load of the machine at the start: ${told.join(", ")}.`);
  }
  return out.join("\n");
}
