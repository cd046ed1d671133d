/** The texts of a Quarry run in the order of its steps, for the rivals to read. */
import { writeFile } from "node:fs/promises";
import { dataFolder, openTrainingSet, planStep } from "../../../src/data/index.js";
import type { TrainingSet } from "../../../src/data/types.js";
import { defineExperiment } from "../../../src/index.js";
import { experimentOf, type Training } from "./quarry.js";

/** Opens the training's data once, so that its preparation is in nobody's figures. */
export async function prepareData(training: Training): Promise<void> {
  (await openSet(training)).close();
}

async function openSet(training: Training): Promise<TrainingSet> {
  const { config, baseDir } = defineExperiment(experimentOf(training, false));
  const { seed, validation, train } = config;
  if (train === undefined) throw new Error("the experiment trains");
  // Where the command line looks for it.
  return openTrainingSet(train.data, { baseDir, cacheDir: dataFolder(training.cacheDir), seed, validation });
}

/**
 * Writes a line for each group of the first steps, {"query", "passages": [positive, negatives…]}.
 *
 * @throws Error when a step holds a passage twice, or a positive of another query: Quarry masks those, others do not.
 */
export async function writeGroups(path: string, training: Training): Promise<void> {
  const set = await openSet(training);
  try {
    const lines: string[] = [];
    for (let step = 0; step < training.steps; step += 1) {
      const groups = planStep(set, step, training.queries);
      const passages = groups.flatMap((group) => [...group.passages]);
      if (new Set(passages).size < passages.length) throw new Error(`Step ${step} holds a passage twice.`);
      for (const { query, passages: rows } of groups) {
        const texts = [...rows].map((row) => {
          const { title, text } = set.passageText(row);
          return title === "" ? text : `${title} ${text}`;
        });
        lines.push(JSON.stringify({ query: set.queryText(query), passages: texts }));
      }
    }
    await writeFile(path, `${lines.join("\n")}\n`);
  } finally {
    set.close();
  }
}
