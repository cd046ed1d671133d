/**
 * One orchestrator and 1, 2, 4 simulated nodes that join over TCP: how close to linear, and what a slow node costs.
 *
 * A unit takes a fixed time on a node, so that two cores can play four nodes; everything else is real: texts go out,
 * 1,024 queries are scored, the best 1,000 of each come back in snapshots that go to the disk. The time counts from the
 * call of the search to its last durable snapshot; the workers have loaded the model before.
 */
import { join } from "node:path";
import type { PreparedSource } from "../../../src/data/types.js";
import type { Experiment } from "../../../src/index.js";
import { toModelSpec } from "../../../src/pipeline/model-spec.js";
import type { Context } from "../shared/context.js";
import { measureLateJoin } from "./late-join.js";
import { type Network, openNetwork } from "./network.js";
import { Cluster } from "./nodes.js";
import { counted, delayedModel, makeCorpus, searchJob, UNIT_SIZE, unitsOf } from "./simulated.js";

const QUERIES = 1_024;
const TOP_K = 1_000;
const SLOWNESS = 10;
const LINEAR = 0.97;
const NEAR_IDEAL = 1.1;
const NODES = 4;

interface Took {
  readonly seconds: number;
  /** Of them until the first unit leaves: workers are configured, queries are sent. */
  readonly startSeconds: number;
  readonly cpuSeconds: number;
  readonly bytes: number;
  readonly snapshots: number;
}

export async function measureScaling(context: Context): Promise<void> {
  const [unitCount, delay] = context.quick ? [48, 0.2] : [400, 0.25];
  const network = openNetwork(NODES, context.note);
  try {
    const experiment = delayedModel(delay, { count: 0, listen: `tcp://${network.address}:0` });
    const corpus = await makeCorpus(context.folder, unitCount * UNIT_SIZE);
    const setting = { context, network, experiment, corpus, unitCount };
    const took = new Map<string, Took>();
    const plans = { "1": [1], "2": [1, 1], "4": [1, 1, 1, 1], slow: [1, 1, 1, SLOWNESS] };
    for (const [name, nodes] of Object.entries(plans)) took.set(name, await search(setting, name, nodes));
    corpus.close();
    tell(context, network, took, unitCount, delay);
    context.numbers({ took: Object.fromEntries(took), unitCount, delay, network: network.kind });
    await measureLateJoin(context, network);
  } finally {
    network.close();
  }
}

async function search(
  setting: {
    readonly context: Context;
    readonly network: Network;
    readonly experiment: Experiment;
    readonly corpus: PreparedSource;
    readonly unitCount: number;
  },
  name: string,
  nodes: readonly number[],
): Promise<Took> {
  const { context, network, experiment, corpus, unitCount } = setting;
  context.note(`${nodes.length} nodes${name === "slow" ? `, one ${SLOWNESS} times slower` : ""}`);
  const cluster = await Cluster.open(context, network, `run-${name}`, experiment);
  try {
    for (const [node, slowness] of nodes.entries()) cluster.start(node, slowness);
    await cluster.joined(nodes.length);
    // Short jobs until everybody has loaded the model; a node that comes late to one takes part in the next.
    const model = toModelSpec(experiment);
    while (cluster.readyCount < nodes.length) {
      const units = unitsOf(corpus, nodes.length * 2);
      await cluster.pool.encode({ phase: "warm", model, side: "passage", units, onVectors: async () => {} });
    }
    const { units, bytes, firstMs } = counted(unitsOf(corpus, unitCount));
    const folder = join(context.folder, `snapshots-${name}`);
    const { job, snapshots } = await searchJob({ experiment, units, folder, queryCount: QUERIES, topK: TOP_K });
    const [cpu, begin] = [process.cpuUsage(), performance.now()];
    await cluster.pool.search(job);
    const seconds = (performance.now() - begin) / 1_000;
    const { user, system } = process.cpuUsage(cpu);
    const handed = snapshots();
    return {
      seconds,
      startSeconds: (firstMs() - begin) / 1_000,
      cpuSeconds: (user + system) / 1e6,
      bytes: bytes() + handed.bytes,
      snapshots: handed.count,
    };
  } finally {
    await cluster.close();
  }
}

function tell(
  context: Context,
  network: Network,
  took: ReadonlyMap<string, Took>,
  unitCount: number,
  delay: number,
): void {
  const of = (name: string): Took => took.get(name) as Took;
  const one = of("1").seconds;
  for (const nodes of [2, 4]) {
    const { seconds, startSeconds } = of(String(nodes));
    const share = one / (nodes * seconds);
    context.tell(
      `${nodes} nodes (${network.kind}), ${unitCount} units of ${delay} s: share of linear`,
      `${share.toFixed(3)} (${one.toFixed(2)} s → ${seconds.toFixed(2)} s, of them ${startSeconds.toFixed(2)} s until the first unit left)`,
      `≥ ${LINEAR}`,
      share >= LINEAR,
    );
  }
  const slow = of("slow").seconds;
  const ideal = (unitCount * delay) / (NODES - 1 + 1 / SLOWNESS);
  const equal = (unitCount / NODES) * delay * SLOWNESS;
  // What one node really took for a unit, which is more than its delay.
  const unit = one / unitCount;
  const real = unitCount / ((NODES - 1) / unit + 1 / (unit + delay * (SLOWNESS - 1)));
  context.tell(
    `${NODES} nodes, one ${SLOWNESS} times slower: time / that of a fair split`,
    `${(slow / ideal).toFixed(3)} (${slow.toFixed(2)} s of ${ideal.toFixed(2)} s; ${(slow / real).toFixed(3)} with units as long as one node took them; an equal split takes ${(equal / ideal).toFixed(1)} times as long)`,
    `≤ ${NEAR_IDEAL}`,
    slow / ideal <= NEAR_IDEAL,
  );
  const { cpuSeconds, bytes, snapshots } = of("4");
  context.tell(
    `what a unit costs the orchestrator over TCP with CURVE, ${QUERIES} queries, k = ${TOP_K}`,
    `${((cpuSeconds / unitCount) * 1e3).toFixed(2)} ms CPU, ${(bytes / unitCount / 1e3).toFixed(0)} KB (${snapshots} snapshots)`,
  );
}
