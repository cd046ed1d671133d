/** Further fields of records on two ranks: the encoder gets each text's own, the loss those of its rank's records. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, source } from "../../src/experiment/define.js";
import { showStep } from "../../src/pipeline/data.js";
import { train } from "../../src/pipeline/run.js";
import { openWorkplace, type Workplace } from "../e2e/harness.js";

const [STEPS, PER_RANK] = [3, 2];

/** An encoder that refuses a text beside another record's fields, and a loss that notes what it gets. */
const PLUGIN = `
import json, os
from pathlib import Path

from torch import nn

from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.registry import register_encoder, register_loss


def checked(text, extras):
    # Every encoder is tried out with texts of no record.
    if extras and (extras["copy"] != text or extras["source"] != "tagged"):
        raise ValueError(f"{text!r} came with {dict(extras)}")
    return text


@register_encoder("checking")
class Checking(Encoder):
    def format_query(self, text, extras):
        return checked(text, extras)

    def format_passage(self, text, extras):
        return checked(text, extras)


@register_loss("noting")
def noting(options):
    def loss(batch):
        line = {side: [e["tag"] for e in getattr(batch.extras, side)] for side in ("queries", "passages")}
        with open(Path(__file__).with_name(f"rank-{os.environ['RANK']}.jsonl"), "a") as file:
            print(json.dumps(line), file=file)
        return nn.functional.cross_entropy(batch.scores(0.1), batch.positive_columns.long())

    return loss
`;

let place: Workplace;

beforeAll(async () => {
  place = await openWorkplace({ passages: 64, queries: 16 });
  await writeFile(join(place.folder, "noting.py"), PLUGIN);
  for (const name of ["corpus", "queries"]) {
    const text = await readFile(join(place.collection, `${name}.jsonl`), "utf8");
    const records = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { _id: string; text: string });
    const tagged = records.map(({ _id, text: copy }) =>
      JSON.stringify({ _id, text: copy, copy, tag: `tag of ${_id}` }),
    );
    await writeFile(join(place.folder, `${name}.jsonl`), `${tagged.join("\n")}\n`);
  }
});
afterAll(() => place.remove());

interface Noted {
  readonly queries: readonly string[];
  readonly passages: readonly string[];
}

test("each rank's loss gets the fields of its own queries and passages, in the order of the plan", async () => {
  const fields = ["tag", "copy"];
  const positives = source({
    ...{ name: "tagged", corpus: "corpus.jsonl", queries: "queries.jsonl", qrels: "collection/qrels/train.tsv" },
    extras: { query: fields, passage: fields, sourceName: true },
  });
  const experiment = defineExperiment(
    {
      name: "extras",
      model: biEncoder("./model", { dtype: "float32", plugins: ["noting.py"], encoder: "checking" as never }),
      train: {
        data: binary({ positives }),
        loss: { name: "noting" } as never,
        ...{ globalBatchSize: 2 * PER_RANK, ranks: 2, threads: 1 },
        args: { maxSteps: STEPS },
      },
      workers: { device: "cpu" },
      cacheDir: "./cache",
      runDir: join(place.folder, "run"),
    },
    { baseDir: place.folder },
  );
  await train(experiment);
  const planned = await Promise.all(Array.from({ length: STEPS }, (_, step) => showStep(experiment, step)));
  for (const rank of [0, 1]) {
    const lines = (await readFile(join(place.folder, `rank-${rank}.jsonl`), "utf8")).trim().split("\n");
    const own = planned.map(({ groups }) => groups.slice(rank * PER_RANK, (rank + 1) * PER_RANK));
    expect(lines.map((line) => JSON.parse(line) as Noted)).toEqual(
      own.map((groups) => ({
        queries: groups.map(({ query }) => `tag of ${query.id}`),
        passages: groups.flatMap(({ passages }) => passages.map(({ id }) => `tag of ${id}`)),
      })),
    );
  }
});
