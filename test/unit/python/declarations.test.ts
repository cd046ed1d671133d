/** What `quarry types` writes of a plugin's options. */
import { expect, test } from "vitest";
import { pluginDeclarations } from "../../../src/python/declarations.js";

const option = (name: string) => ({
  ...{ name, sentence: "", isRequired: false, default: 1 },
  ...{ type: "int", typescript: "number", schema: {} },
});

test("options are named in camelCase, but where two would have one name", () => {
  const losses = [
    { name: "mine", sentence: "Mine.", origin: "/here/my.py", options: ["label_scale", "k_2", "k2"].map(option) },
  ];
  const written = pluginDeclarations({ encoders: [], losses, poolings: [], retrievers: [], similarities: [] }, "/here");
  expect([...written.matchAll(/^ {6}(\w+)\?/gm)].map(([, name]) => name)).toEqual(["labelScale", "k_2", "k2"]);
});
