/** Export of what a run trained: found by its folder, written with a card of what the run recorded. */
import { existsSync, readdirSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { exportModel } from "../../src/index.js";
import { until } from "../fixtures/fake-pool.js";
import { writeTinyModel } from "../fixtures/tiny-model.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
let folder = "";
let run = "";
const model = { kind: "biEncoder", checkpoint: "sentence-transformers/all-MiniLM-L6-v2" };
const plugin = `
from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.registry import register_encoder

@register_encoder("sign_off")
class SignOff(Encoder):
    """As it is."""
`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-export-"));
  await writeTinyModel(join(folder, "model"));
  // A run folder as `quarry run` leaves it; training itself is tested elsewhere.
  run = join(folder, "runs", "tiny");
  await mkdir(join(run, "train"), { recursive: true });
  await cp(join(folder, "model"), join(run, "train", "checkpoint-30"), { recursive: true });
  await writeFile(join(run, "train", "checkpoint-30", "optimizer.pt"), "");
  await mkdir(join(folder, "plugins"));
  await writeFile(join(folder, "plugins", "sign_off.py"), plugin);
  const plugged = { ...model, encoder: "sign_off", plugins: ["plugins/sign_off.py"] };
  await writeFile(join(run, "experiment.json"), JSON.stringify({ name: "tiny", model: plugged }));
  const metrics = { "evaluate-base": { "nDCG@10": 0.25 }, "evaluate-checkpoint-30": { "nDCG@10": 0.625 } };
  await writeFile(join(run, "metrics.json"), JSON.stringify(metrics));
  const environment = { quarry: "0.1.0", data: { "train.set": "3f9a" }, python: { torch: "2.13.0" }, baseDir: "../.." };
  await writeFile(join(run, "environment.json"), JSON.stringify(environment));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("a run folder without a finished training is told, with what could be named instead", async () => {
  await writeFile(join(run, "journal.jsonl"), "");
  await expect(exportModel(run, { out: join(folder, "none") })).rejects.toMatchObject({
    code: "CONFIG",
    hint: expect.stringContaining("checkpoint-<step>"),
  });
});

test("a run folder gives the checkpoint that training ended with, and the card what the run recorded of it; a plugin is found from where the experiment lay", async () => {
  // A step that has lost files is done again: the last entry counts.
  const done = ["train/checkpoint-10", "train/checkpoint-30"].map((checkpoint) =>
    JSON.stringify({ type: "stepDone", step: "train", data: "3f9a", result: { checkpoint } }),
  );
  await writeFile(join(run, "journal.jsonl"), `${done.join("\n")}\n{"type": "cut sho`);
  const out = join(folder, "out");
  const made = await exportModel(run, { out, dtype: "bfloat16", license: "apache-2.0" });
  expect(made).toMatchObject({ folder: out, url: null });
  const names = await readdir(out);
  expect(names).toEqual(expect.arrayContaining(["README.md", "model.safetensors", "modules.json", "tokenizer.json"]));
  expect(names).not.toContain("optimizer.pt");
  const card = await readFile(join(out, "README.md"), "utf8");
  for (const said of [
    "license: apache-2.0",
    "base_model: sentence-transformers/all-MiniLM-L6-v2",
    "| evaluation | nDCG@10 | 0.6250 |",
    "`3f9a`",
    "30 optimiser steps",
    "| torch | 2.13.0 |",
    "sign_off.py",
  ])
    expect(card).toContain(said);
  expect(card).not.toContain("0.2500");
  expect(card).not.toContain(folder);
});

test("a checkpoint in a run folder has the card of the run, with what each data set of a suite gave", async () => {
  const metrics = { "evaluate-checkpoint-30": { easy: { "nDCG@10": 0.75 }, hard: { "nDCG@10": 0.125 } } };
  await writeFile(join(run, "metrics.json"), JSON.stringify(metrics));
  await writeFile(join(run, "experiment.json"), JSON.stringify({ name: "tiny", model }));
  const out = join(folder, "checkpoint");
  await exportModel(join(run, "train", "checkpoint-30"), { out });
  const card = await readFile(join(out, "README.md"), "utf8");
  for (const said of [
    "| easy | nDCG@10 | 0.7500 |",
    "| hard | nDCG@10 | 0.1250 |",
    "30 optimiser steps",
    'SentenceTransformer("checkpoint")',
    'biEncoder("checkpoint")',
  ])
    expect(card).toContain(said);
});

test("a repository that is to be private is never made a public one", async () => {
  const asked: unknown[] = [];
  const hub = createServer((request, response) => {
    void text(request).then((body) => {
      if (request.url === "/api/repos/create") asked.push(JSON.parse(body));
      response.writeHead(403).end("{}");
    });
  });
  await new Promise<void>((listening) => hub.listen(0, "127.0.0.1", listening));
  const { port } = hub.address() as AddressInfo;
  vi.stubEnv("HF_ENDPOINT", `http://127.0.0.1:${port}`);
  vi.stubEnv("HF_TOKEN", "hf_of_nobody");
  vi.stubEnv("HF_HUB_OFFLINE", "0");
  try {
    const options = { out: join(folder, "pushed"), push: "nobody/model", isPrivate: true };
    await expect(exportModel(join(folder, "model"), options)).rejects.toMatchObject({
      code: "ENVIRONMENT",
      message: expect.stringContaining("nobody/model could not be pushed to"),
    });
  } finally {
    vi.unstubAllEnvs();
    hub.closeAllConnections();
    hub.close();
  }
  // The client's releases word it in two ways.
  const isPrivate = /"private":true|"visibility":"private"/;
  expect(asked.map((each) => JSON.stringify(each))).toEqual([expect.stringMatching(isPrivate)]);
});

test("a stopped export takes away what it has written, and the next one, here of a model that no run knows, what a killed export left", async () => {
  // Made without transformers, whose import takes longer than all else here.
  const slow = `
import time
import torch
from quarry_runtime.modeling.registry import register_encoder

class Slow(torch.nn.Module):
    """Written for ever."""

    def __init__(self, contract):
        super().__init__()
        self.contract = contract

    def tokenize(self, texts, *_):
        return {"input_ids": [[1]] * len(texts)}

    def collate(self, ids):
        return {"input_ids": torch.tensor(ids)}

    def forward(self, batch, side):
        return torch.ones(len(batch["input_ids"]), self.contract.dimension)

    def save(self, folder):
        (folder / "model.safetensors").write_bytes(b"a part")
        time.sleep(600)

@register_encoder("slow")
def slow(resolved, spec, dtype, options):
    return Slow(resolved.contract(dtype, spec))
`;
  await writeFile(join(folder, "slow.py"), slow);
  const slowed = { kind: "biEncoder", checkpoint: "x", encoder: "slow", plugins: ["slow.py"] };
  const own = join(folder, "runs", "slow");
  await cp(run, own, { recursive: true });
  const done = { type: "stepDone", step: "train", result: { checkpoint: "train/checkpoint-30" } };
  await writeFile(join(own, "journal.jsonl"), `${JSON.stringify(done)}\n`);
  await writeFile(join(own, "experiment.json"), JSON.stringify({ name: "slow", model: slowed }));
  await writeFile(join(own, "environment.json"), JSON.stringify({ baseDir: "../.." }));
  const place = await mkdtemp(join(folder, "stopped-"));
  const remains = () => readdirSync(place).filter((name) => name.startsWith(".out."));
  const begin = () => {
    const argv = [join(root, "dist/cli/main.js"), "export", own, "--out", join(place, "out")];
    return execa(process.execPath, argv, { reject: false });
  };
  const stopped = begin();
  await until(() => remains().length > 0, 60_000);
  stopped.kill("SIGTERM");
  expect(await stopped).toMatchObject({ exitCode: 143, stderr: "stopped by SIGTERM" });
  expect(remains()).toEqual([]);

  const killed = begin();
  await until(() => remains().length > 0, 60_000);
  killed.kill("SIGKILL");
  await killed;
  expect(remains()).toHaveLength(1);
  await until(() => !existsSync(`/proc/${remains()[0]?.split(".")[2]}`));
  const made = await exportModel(join(folder, "model"), { out: join(place, "out") });
  expect(made.fileCount).toBeGreaterThan(5);
  expect(await readdir(place)).toEqual(["out"]);
  await expect(exportModel(join(folder, "model"), { out: join(place, "out") })).rejects.toMatchObject({
    code: "CONFIG",
    message: expect.stringContaining("is there already"),
  });
});
