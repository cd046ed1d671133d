/**
 * Encoding on a GPU in bfloat16: one Quarry worker against sentence-transformers, each at its best batch size, and how
 * long the GPU was at work.
 *
 * Two models, because one small model leaves a large GPU to wait for the calls that start its kernels: MiniLM, and one of
 * the size of BERT base with random weights.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Context, median } from "../shared/context.js";
import { busyWhile, findGpu } from "../shared/gpu.js";
import { makeModel } from "../train/steps.js";
import { bestSize } from "./best-size.js";
import { cutIntoPassages, drawPart, type Text } from "./collection.js";
import { encodeWith, openSide, prepare, startSentencePeer } from "./encode.js";

const [RATE, BUSY] = [1.3, 95];
const SIZES = [64, 128, 256, 512, 1_024, 2_048, 4_096];
/** The same passages again and again: what a GPU does with them does not depend on what they say. */
const REPEATS = 4;

export async function measureGpuEncoding(context: Context): Promise<void> {
  const gpu = await findGpu(context);
  if (gpu === null) return context.tell("passages/s on a GPU, bf16", "no GPU: not measured");
  const models = context.quick ? (["real"] as const) : (["real", "base"] as const);
  for (const model of models) await race({ ...context, device: gpu.device }, gpu.name, model);
}

async function race(context: Context, gpu: string, kind: "real" | "base"): Promise<void> {
  const folder = await makeModel(context, kind);
  // A rehearsal on a processor that only imitates bfloat16 would take minutes.
  const dtype = context.device === "cuda" ? "bfloat16" : "float32";
  const [sizes, rounds] = context.quick ? [[16, 32], 1] : [SIZES, 5];
  const once = cutIntoPassages((await drawPart(4_000)).passages, context.quick ? 40 : 12_000);
  const texts: Text[] = [];
  for (let repeat = 0; repeat < (context.quick ? 1 : REPEATS); repeat += 1)
    texts.push(...once.map((text) => ({ ...text, _id: `${repeat}.${text._id}` })));
  // As a run plans its units, with similar lengths side by side; sentence-transformers sorts by itself.
  texts.sort((one, other) => other.text.length - one.text.length);
  const table = await prepare(context, `gpu-${kind}`, texts, texts.slice(0, 1));
  const json = join(context.folder, `gpu-${kind}.json`);
  await writeFile(json, JSON.stringify(texts));

  const peer = startSentencePeer(context);
  const side = await openSide(context, dtype, folder);
  try {
    const own = (batch: number) => encodeWith(side, table, { side: "passage", batch, isKept: false });
    const request = {
      peer: "sentence-transformers",
      texts: json,
      model: folder,
      device: context.device,
      dtype,
    };
    const theirs = async (batch: number) => (await peer.ask({ ...request, batch })).seconds as number;
    const best = { own: await bestSize(own, sizes), theirs: await bestSize(theirs, sizes) };
    const seconds: { readonly own: number[]; readonly theirs: number[] } = { own: [], theirs: [] };
    const busy: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const turns = [
        async () => {
          const [took, share] = await busyWhile(() => own(best.own));
          seconds.own.push(took);
          if (share !== null) busy.push(share);
        },
        async () => void seconds.theirs.push(await theirs(best.theirs)),
      ];
      for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn();
    }
    context.numbers({ gpu, model: kind, best, seconds, busy, texts: texts.length });

    const model = kind === "real" ? "MiniLM" : "BERT base";
    const rate = (times: readonly number[]): string => `${(texts.length / median(times)).toFixed(0)} passages/s`;
    const ratio = median(seconds.theirs.map((time, round) => time / (seconds.own[round] as number)));
    context.tell(
      `${gpu}, ${model}, ${dtype}: Quarry's rate at its best batch, ${best.own} / sentence-transformers' at its best, ${best.theirs}`,
      `${ratio.toFixed(2)} (${rate(seconds.own)}, ${rate(seconds.theirs)})`,
      `≥ ${RATE}`,
      ratio >= RATE,
    );
    if (busy.length === 0) return context.tell(`${model}: share of the time the GPU was busy`, "no nvidia-smi");
    const share = median(busy);
    context.tell(`${model}: share of the time the GPU was busy`, `${share.toFixed(0)} %`, `≥ ${BUSY} %`, share >= BUSY);
  } finally {
    await side.pool.close();
    await peer.close();
    table.close();
  }
}
