import { prepareSource, openTrainingSet, planStep, buildMicroBatch, textUnits } from "./dist/data/index.js";
import { mkdtempSync } from "node:fs";
const D="/work/shared/data/";
const cacheDir = process.argv[2] ?? mkdtempSync("/tmp/qc-");
const ctx = { baseDir: D, cacheDir, seed: 42, onWarning: (m: string,h: unknown)=>console.log("WARN",m,h) };
for (const [name, split] of [["nfcorpus","train"],["scifact","train"],["nfcorpus","test"]] as const) {
 for (let i=0;i<3;i++){ const t=performance.now();
  const s = await prepareSource({kind:"source", corpus:name, qrels:`${name}/qrels/${split}.tsv`}, ctx);
  console.log(name, split, i, (performance.now()-t).toFixed(1),"ms", s.passages.rowCount, s.queries.rowCount, s.qrels!.queryRows.length);
  if(i==2){ const all=Int32Array.from({length:s.passages.rowCount},(_, i)=>i);
   for (let k=0;k<3;k++){const t=performance.now(); const u=textUnits(s.passages, all, 1024, "p"); let b=0; for(let j=0;j<u.count;j++) b+=u.frame(j).length; const dt=performance.now()-t; console.log("gather", b, dt.toFixed(1),"ms", (all.length/dt*1000).toFixed(0),"rows/s");}
   console.log(s.passages.origin(7), s.passages.id(7), s.passages.title(7).slice(0,50), s.queries.text(s.qrels!.queryRows[0]!));
   let tot=0; for (const q of s.qrels!.queryRows) tot+=s.qrels!.annotated(q).rows.length; console.log("judgements",tot);
   const t=performance.now(); let hit=0; for(let r=0;r<s.passages.rowCount;r++) if(s.passages.rowOf(s.passages.id(r))===r) hit++; console.log("rowOf", hit, ((performance.now()-t)/hit*1e6).toFixed(0),"ns");
  }
  s.close(); }
}
const set = await openTrainingSet({kind:"binary", positives:{kind:"source",corpus:"nfcorpus",qrels:"nfcorpus/qrels/train.tsv"}, negatives:{kind:"source",corpus:"nfcorpus",qrels:"nfcorpus/qrels/train.tsv"}, negativesPerQuery:0}, ctx);
let t=performance.now(); let n=0; for (let s=0;s<300;s++){ const g=planStep(set,42,s,32); n+=g.length; } console.log("groups/s", n/(performance.now()-t)*1000);
t=performance.now(); for (let s=0;s<100;s++){ const g=planStep(set,42,s,32); buildMicroBatch(set,g,{rank:0,worldSize:1,microStep:0,accumulationSteps:1,queriesPerRank:32}); } console.log("microbatch ms", (performance.now()-t)/100);
const ml = await openTrainingSet({kind:"multiLevel", sources:[{kind:"source",corpus:"nfcorpus",qrels:"nfcorpus/qrels/test.tsv"}], passagesPerQuery:8}, ctx);
t=performance.now(); n=0; for (let s=0;s<100;s++){ const g=planStep(ml,42,s,32); n+=g.length; buildMicroBatch(ml,g,{rank:0,worldSize:1,microStep:0,accumulationSteps:1,queriesPerRank:32}); } console.log("ml step ms", (performance.now()-t)/100);
