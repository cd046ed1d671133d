/** Losses as they travel: defaults filled in, and sources that the data does not have refused before a rank starts. */
import { expect, test } from "vitest";
import { lossSpecs } from "../../../src/pipeline/losses.js";

const setOf = (...names: string[]) => ({ partCount: names.length, partName: (part: number) => names[part] ?? "" });

test("one loss and several travel alike, with everything that may be left out", () => {
  expect(lossSpecs({ loss: { name: "infonce", temperature: 0.1 } }, setOf("all"))).toEqual({
    losses: [{ name: "infonce", weight: 1, sources: [], matryoshka: null, options: { temperature: 0.1 } }],
    sources: ["all"],
  });
  const { losses, sources } = lossSpecs(
    {
      loss: [
        { name: "kl", weight: 2, sources: ["b"] },
        { name: "cosent", matryoshka: { dimensions: [8, 4] } },
      ],
    },
    setOf("a", "b", ""),
  );
  expect(losses).toEqual([
    { name: "kl", weight: 2, sources: ["b"], matryoshka: null, options: {} },
    { name: "cosent", weight: 1, sources: [], matryoshka: { dimensions: [8, 4], weights: [] }, options: {} },
  ]);
  expect(sources).toEqual(["a", "b", "part 3"]);
});

test("a source that no part is called is refused with the nearest one", () => {
  const named = (source: string) => () =>
    lossSpecs({ loss: { name: "kl", sources: [source] } }, setOf("clicks", "teacher"));
  expect(named("techer")).toThrow('train.loss: kl is for the source "techer", which train.data does not have.');
  expect(named("techer")).toThrow(
    expect.objectContaining({ code: "CONFIG", hint: expect.stringContaining("teacher") }),
  );
  expect(named("xyzzy")).toThrow(expect.objectContaining({ hint: expect.stringContaining("clicks, teacher") }));
});
