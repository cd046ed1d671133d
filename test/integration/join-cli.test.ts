/** `quarry join` as a process of its own, with the real worker behind it: how it comes, what it refuses, how it goes. */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listWorkers } from "../../src/pipeline/workers.js";
import { commandLine } from "../fixtures/command-line.js";
import { type FakePool, openFakePool, processesWith, until } from "../fixtures/fake-pool.js";

const marker = `join-cli-${process.pid}`;
const main = "dist/cli/main.js";
/** No worker here gets a model: none needs what takes the longest to import. */
const env = {
  QUARRY_TEST_MARKER: marker,
  PYTHONPATH: fileURLToPath(new URL("../fixtures/without-transformers", import.meta.url)),
};
let fake: FakePool;

beforeEach(async () => {
  fake = await openFakePool({}, { listen: "tcp://127.0.0.1:0", count: 0 });
});
afterEach(async () => {
  await fake.close();
  await until(() => processesWith(`QUARRY_TEST_MARKER=${marker}`).length === 0);
});

function quarry(args: readonly string[], input?: string) {
  const options = {
    reject: false,
    all: true,
    env,
    ...(input === undefined ? { stdin: "ignore" as const } : { input }),
  };
  return execa(process.execPath, [main, "join", ...args], options);
}
const here = ["--device", "cpu", "--threads", "1"];
const names = async (): Promise<string> =>
  (await listWorkers(fake.runDir))
    .map(({ name }) => name)
    .sort()
    .join();
const isJoined = async (expected: string): Promise<void> => {
  const end = Date.now() + 120_000;
  while ((await names()) !== expected) {
    if (Date.now() > end) throw new Error(`${expected} did not join, but ${await names()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};
/** In this process: what ends before Python is asked needs none of its own. */
const told = async (...args: readonly string[]) => {
  const { exitCode, stdout, stderr } = await commandLine(["join", ...args], { cwd: process.cwd() });
  return { exitCode, all: stdout + stderr };
};
const endOf = async (joining: ReturnType<typeof quarry>) => {
  const { exitCode, all } = await joining;
  return { exitCode, all: String(all) };
};

describe("quarry join", () => {
  it("brings this machine to the run of a folder, and leaves when it is asked to", async () => {
    const joining = quarry([fake.runDir, ...here, "--name", "far"]);
    await isJoined("far.0");
    joining.kill("SIGTERM");
    const { exitCode, all } = await endOf(joining);
    expect(exitCode).toBe(143);
    expect(all).toContain("joined as far.0");
    expect(all).toContain("SIGTERM: leaving when the work in hand is done");
    await isJoined("");
  });

  it("comes by what --print shows, pasted into a shell, and ends with the run", async () => {
    const { stdout, exitCode } = await quarry(["--print", fake.runDir]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^npx quarry join --ticket - <<'QUARRY_TICKET'\nquarry1\.[\w-]+\nQUARRY_TICKET$/);
    const pasted = stdout.replace("join --ticket -", `join ${here.join(" ")} --name shell --workers 2 --ticket -`);
    const joining = execa("sh", ["-c", `npx() { shift; "${process.execPath}" ${main} "$@"; }\n${pasted}\n`], {
      ...{ reject: false, all: true },
      env,
    });
    await isJoined("shell.0,shell.1");
    await fake.pool.close();
    expect((await joining).exitCode).toBe(0);
  });

  it.each([
    ["1", "far.0"],
    ["2", "far.0,far.1"],
  ])("leaves nothing behind when it is killed with %s workers", async (workers, joined) => {
    const joining = quarry([fake.runDir, ...here, "--name", "far", "--workers", workers]);
    await isJoined(joined);
    joining.kill("SIGKILL");
    await joining;
    await until(() => processesWith(`QUARRY_TEST_MARKER=${marker}`).length === 0);
  });

  it("says that what keeps its workers was killed", async () => {
    const joining = quarry([fake.runDir, ...here, "--name", "far"]);
    await isJoined("far.0");
    const commandOf = (pid: number): string => readFileSync(`/proc/${pid}/cmdline`, "latin1");
    const [keeper] = processesWith(`QUARRY_TEST_MARKER=${marker}`).filter((pid) =>
      commandOf(pid).includes("quarry_runtime\0join"),
    );
    process.kill(keeper as number, "SIGKILL");
    const { exitCode, all } = await endOf(joining);
    expect(exitCode).toBe(5);
    expect(all).toMatch(
      /error: .*python, which keeps the workers here, was killed by SIGKILL\.\n.*hint: See whether memory/,
    );
  });

  it("goes another way to the same run when it is given an address", async () => {
    const [, coded = ""] = readFileSync(join(fake.runDir, "join.ticket"), "utf8").trim().split(".");
    const ticket = JSON.parse(Buffer.from(coded, "base64url").toString()) as { endpoint: string };
    const port = ticket.endpoint.split(":").at(-1) ?? "";
    const file = join(fake.runDir, "elsewhere.ticket");
    writeFileSync(file, JSON.stringify({ ...ticket, endpoint: "tcp://198.51.100.1:9" }), { mode: 0o600 });
    const joining = quarry([`localhost:${port}`, "--ticket", file, ...here, "--name", "nat"]);
    await isJoined("nat.0");
    joining.kill("SIGINT");
    expect((await joining).exitCode).toBe(130);
  });

  it("tells a folder that is not there, a file and an address apart", async () => {
    const file = join(fake.runDir, "join.ticket");
    const none = await told(join(fake.runDir, "typo"));
    expect(none.all).toContain(`There is no run folder ${fake.runDir}/typo.`);
    const ticket = await told(file);
    expect(ticket.all).toContain(`${file} is a file, not the folder of a run.`);
    expect(ticket.all).toContain(`quarry join --ticket ${file}`);
    const dashed = await told("--ticket", file, "--", "-h:80");
    expect([none, ticket, dashed].map(({ exitCode }) => exitCode)).toEqual([2, 2, 2]);
    const refused = await endOf(quarry(["--ticket", file, ...here, "user@127.0.0.1:4555"]));
    expect(refused.all).toContain("'user@127.0.0.1:4555' is no address.");
  });

  it("knows the ticket of a run that was killed, and waits for nobody", async () => {
    const poolFile = join(fake.runDir, "pool.json");
    const before = readFileSync(poolFile, "utf8");
    const dead = Number((await execa("sh", ["-c", "echo $$"])).stdout);
    writeFileSync(poolFile, JSON.stringify({ ...(JSON.parse(before) as object), pid: dead }));
    const words = `(process ${dead}) is over: it was killed.`;
    for (const args of [[fake.runDir], ["--print", "--run", fake.runDir], ["--ticket", `${fake.runDir}/join.ticket`]]) {
      const { exitCode, all } = await told(...args, ...here);
      expect({ exitCode, all }).toEqual({ exitCode: 4, all: expect.stringContaining(words) as string });
    }
    writeFileSync(poolFile, before);
  });

  it("says what is wrong with a ticket, without showing it", async () => {
    const file = join(fake.runDir, "join.ticket");
    const secret = readFileSync(file, "utf8").trim();
    chmodSync(file, 0o644);
    const open = await endOf(quarry([fake.runDir, ...here]));
    expect(open.exitCode).toBe(4);
    expect(open.all).toContain(`open to other users (mode 644)`);
    const cut = await endOf(quarry(["--ticket", "-", ...here], `${secret.slice(0, -9)}\n`));
    expect(cut).toMatchObject({ exitCode: 4, all: expect.stringContaining("What stdin holds is no ticket") as string });
    const bare = await told("gate.example:7000");
    expect(bare).toMatchObject({ exitCode: 2, all: expect.stringContaining("needs the run's ticket") as string });
    const gone = await told(join(fake.runDir, ".."), ...here);
    expect(gone).toMatchObject({ exitCode: 4, all: expect.stringContaining("Set workers.listen") as string });
    expect(open.all + cut.all + bare.all + gone.all).not.toContain(secret.slice(0, 40));
  });
});
