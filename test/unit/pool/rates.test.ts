/** Rates stay true when counts come in bursts. */
import { expect, test } from "vitest";
import { Rate } from "../../../src/pool/rates.js";

test("bursts further apart than the window give their true rate", () => {
  const rate = new Rate(5_000);
  let shown: number | null = null;
  for (let timeMs = 0; timeMs <= 60_000; timeMs += 200) shown = rate.update(timeMs, Math.floor(timeMs / 20_000) * 256);
  expect(shown).toBeCloseTo(12.8);
});

test("a steady count gives its rate and a stalled one falls", () => {
  const rate = new Rate(5_000);
  let shown: number | null = null;
  for (let timeMs = 0; timeMs <= 20_000; timeMs += 100) shown = rate.update(timeMs, timeMs / 100);
  expect(shown).toBeCloseTo(10);
  for (let timeMs = 20_100; timeMs <= 40_000; timeMs += 100) shown = rate.update(timeMs, 200);
  expect(shown).toBeLessThan(3);
});

test("a count that falls, because work was lost, begins anew", () => {
  const rate = new Rate(5_000);
  for (let timeMs = 0; timeMs <= 2_000; timeMs += 100) rate.update(timeMs, timeMs);
  expect(rate.update(2_100, 0)).toBeNull();
  let shown: number | null = null;
  for (let timeMs = 2_200; timeMs <= 4_000; timeMs += 100) shown = rate.update(timeMs, (timeMs - 2_100) / 100);
  expect(shown).toBeCloseTo(10);
});
