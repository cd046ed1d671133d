/** What the orchestrator pays to send stored vectors, and what a search of them reaches. */
import { join } from "node:path";
import { EmbeddingStore, readingOrder, VectorView } from "../../../src/embeddings/index.js";
import { openPool } from "../../../src/pool/pool.js";
import { EventStream } from "../../../src/report/events.js";
import { findPython } from "../../../src/python/environment.js";
import { readFileSync } from "node:fs";

const N = Number(process.env["N"] ?? 200_000), D = 384, folder = process.env["F"] ?? "/tmp/feedv";
const contract = { fingerprint: "0".repeat(32), dimension: D, similarity: "dot", normalize: true } as never;
const store = await EmbeddingStore.open(folder, { contract, side: "passage", dtype: "float32" }, console.warn);
const have = store.shards.reduce((a, s) => a + s.rowCount, 0);
if (have < N) {
  const writer = store.writer();
  for (let at = 0; at < N; at += 256) {
    const n = Math.min(256, N - at);
    const v = new Float32Array(n * D);
    for (let i = 0; i < v.length; i++) v[i] = (Math.random() - 0.5) / 6;
    const k = new Int32Array(n * 4);
    for (let i = 0; i < n; i++) k.set([at + i, 1, 2, (at + i) * 7919], i * 4);
    await writer.append(new Uint8Array(k.buffer), { dtype: "float32", dimension: D, bytes: new Uint8Array(v.buffer), scales: null });
  }
  await writer.close();
  store.reload();
}
const shards = new Int32Array(N), rows = new Int32Array(N);
let at = 0;
for (const [s, shard] of store.shards.entries()) for (let r = 0; r < shard.rowCount && at < N; r++) { shards[at] = s; rows[at++] = r; }
const places = { shards, rows, missingCount: 0, order: Int32Array.from({ length: N }, (_, i) => i) };
const view = new VectorView(store, Int32Array.from({ length: N }, (_, i) => i), places);
const python = await findPython();
const Q = Number(process.env["Q"] ?? 1), W = Number(process.env["W"] ?? 1);
const pool = await openPool({
  workers: { count: W, unitSize: 256, batchSize: 32, credits: 8, device: "cpu", threads: 1, maxAttempts: 3, heartbeatSeconds: 30, ...(JSON.parse(process.env["WK"] ?? "{}")) } as never,
  python, logDir: "/tmp/feedv-logs", events: new EventStream(),
});
const loop = () => { const s = readFileSync(`/proc/self/task/${process.pid}/stat`, "latin1"); const f = s.slice(s.lastIndexOf(")") + 2).split(" "); return (Number(f[11]) + Number(f[12])) / 100; };
const queries = new Float32Array(Q * D).map((_, i) => Math.sin(i * 12.9898) / 14);
for (let round = 0; round < Number(process.env["R"] ?? 4); round++) {
  const t = performance.now(), c = process.cpuUsage(), l = loop();
  let best = "";
  const out = await pool.search({ phase: "b", model: null, units: view.units(Int32Array.from({ length: N }, (_, i) => i), "v"), similarity: "dot", isNormalizing: false, topK: 10, queries, queryCount: Q, dimension: D, onSnapshot: async (s) => { best = `${s.rows[0]} ${s.scores[0]}`; } });
  const { user, system } = process.cpuUsage(c);
  const s = (performance.now() - t) / 1000;
  console.log(`round ${round}: ${s.toFixed(2)} s (${out.seconds.toFixed(2)}), ${(N * D * 4 / out.seconds / 1e9).toFixed(2)} GB/s, cpu ${((user + system) / 1e6).toFixed(2)} loop ${(loop() - l).toFixed(2)} ${best}`);
}
await pool.close();
store.close();
