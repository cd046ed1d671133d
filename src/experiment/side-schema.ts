/** Options of workers that work beside the ranks of a training, whatever for. */
import { z } from "zod";

export const sideWorkersSchema = z.strictObject({
  count: z
    .union([z.int().min(1), z.literal("auto")])
    .default("auto")
    .describe("Worker processes beside the ranks; auto is one per GPU that the ranks leave free, else one."),
  device: z
    .string()
    .regex(/^(auto|cpu|cuda:\d+)$/, "auto, cpu or cuda:N")
    .default("auto")
    .describe(
      "auto, cpu or cuda:N; auto takes the last GPUs, which the ranks must leave free, or the CPU without any; mining takes the CPU also where the ranks hold all of them.",
    ),
  threads: z
    .int()
    .min(1)
    .optional()
    .describe("CPU threads of each; default: the cores that the ranks leave, at least one."),
});

export type SideWorkersConfig = z.output<typeof sideWorkersSchema>;
