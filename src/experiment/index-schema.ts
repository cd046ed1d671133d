/** Options of a FAISS index: one that is built, and one that lies in a folder. */
import { z } from "zod";
import { path, positive } from "./limits.js";

const lists = positive.max(10_000_000);
const candidates = positive.max(1_000_000);

const nprobe = lists
  .optional()
  .describe("ivf: lists that a query looks into; default: a twentieth of them, at least 8. All of them: exact.");

export const indexSchema = z.strictObject({
  kind: z
    .enum(["flat", "ivf", "hnsw"])
    .default("flat")
    .describe("flat compares with every passage; ivf looks into some of many lists; hnsw follows links to neighbours."),
  nlist: lists.optional().describe("ivf: lists that vectors are shared among; default: 4 √N."),
  nprobe,
  m: positive.min(2).max(1_024).optional().describe("hnsw: links of a vector; default: 32."),
  ef: candidates
    .optional()
    .describe("hnsw: candidates kept while building, and while searching for fewer; default: 200."),
});

export const savedIndexSchema = z.strictObject({
  folder: path.describe('A folder that `encode.export: "faiss"` wrote.'),
  nprobe: nprobe.describe("ivf: lists that a query looks into; default: as the index was built with."),
  ef: candidates.optional().describe("hnsw: candidates kept while searching; default: as the index was built with."),
});

export type IndexConfig = z.output<typeof indexSchema>;
export type SavedIndexConfig = z.output<typeof savedIndexSchema>;
