/** What many options take, within the limits of the protocol between the processes: what it cannot carry is refused here. */
import { z } from "zod";

export const positive = z.int().min(1);
export const name = z.string().min(1).max(256);
export const path = z.string().min(1).max(4_096);
export const topK = positive.max(1_000_000);
export const maxLength = positive.max(1_000_000);
