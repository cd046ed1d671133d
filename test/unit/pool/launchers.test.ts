/** Launchers of workers on other machines: what they call, what they hand over, and that no secret shows. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type NodeConfig, nodeSchema } from "../../../src/experiment/nodes-schema.js";
import { pastedCommand } from "../../../src/pool/launch/manual.js";
import { type LaunchSettings, quoted } from "../../../src/pool/launch/node.js";
import { launchNodes } from "../../../src/pool/launch/nodes.js";
import type { Launched } from "../../../src/pool/reception.js";
import { processMark } from "../../../src/process-stat.js";
import { findPython } from "../../../src/python/environment.js";
import { EventStream, type QuarryEvent } from "../../../src/report/events.js";
import { processesWith, until } from "../../fixtures/fake-pool.js";

let folder: string;
let events: QuarryEvent[];
let launched: Launched | null;
let python: LaunchSettings["python"];
const tickets = [0, 1, 2].map((index) => ({
  endpoint: `tcp://10.0.0.5:${4_000 + index}`,
  token: `secret-token-${index}`,
}));

/** Notes its arguments, its environment and what comes over stdin, then does as told. What holds launchers is no double. */
const DOUBLE = `#!/bin/sh
case "$3" in hold) PYTHONPATH="$REAL_PYTHONPATH" exec "$REAL_PYTHON" "$@" ;; esac
name=$(basename "$0")
n=0
while ! mkdir "$DOUBLES/$name-$n.lock" 2>/dev/null; do n=$((n + 1)); done
for each in "$@"; do printf '%s\\n' "$each"; done >"$DOUBLES/$name-$n.argv.part"
env >"$DOUBLES/$name-$n.env"
mv "$DOUBLES/$name-$n.argv.part" "$DOUBLES/$name-$n.argv"
case "$name" in
  sbatch) cat ;;
  scancel) exit 0 ;;
  *) head -n 1 ;;
esac >"$DOUBLES/$name-$n.stdin.part"
mv "$DOUBLES/$name-$n.stdin.part" "$DOUBLES/$name-$n.stdin"
. "$DOUBLES/behaviour"
`;

beforeEach(async () => {
  const real = await findPython();
  folder = mkdtempSync(join(tmpdir(), "quarry-test-launch-"));
  for (const name of ["ssh", "srun", "sbatch", "scancel", "python"]) {
    writeFileSync(join(folder, name), DOUBLE);
    chmodSync(join(folder, name), 0o755);
  }
  // Until its workers have left.
  behave('while [ ! -e "$DOUBLES/left" ]; do sleep 0.05; done');
  python = {
    executable: join(folder, "python"),
    env: {
      ...{ PATH: `${folder}:${process.env["PATH"] ?? ""}`, PYTHONPATH: "/opt/quarry/py_runtime", DOUBLES: folder },
      ...{ REAL_PYTHON: real.executable, REAL_PYTHONPATH: real.env["PYTHONPATH"] ?? "" },
    },
  };
  events = [];
  launched = null;
});
afterEach(async () => {
  writeFileSync(join(folder, "left"), "");
  await launched?.close();
  rmSync(folder, { recursive: true, force: true });
});

const isSleep = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n";
  } catch {
    return false; // ended meanwhile: what a double calls lives for a moment
  }
};
const behave = (script: string): void => writeFileSync(join(folder, "behaviour"), `${script}\n`);
const seen = (name: string): string => readFileSync(join(folder, name), "utf8");
const argv = (program: string, index = 0): string[] => seen(`${program}-${index}.argv`).trimEnd().split("\n");
const arrived = (program: string, index = 0): Promise<void> =>
  until(() => existsSync(join(folder, `${program}-${index}.stdin`)));

async function launch(...given: readonly object[]): Promise<void> {
  const nodes = given.map((node): NodeConfig => nodeSchema.parse(node));
  const stream = new EventStream();
  stream.subscribe((event) => events.push(event));
  const open = launchNodes({ nodes, python, logDir: join(folder, "logs"), runDir: "runs/x", events: stream });
  let next = 0;
  launched = await open({ admit: () => tickets[next++] ?? { endpoint: "", token: "" }, ticketPath: "unused" });
}

/** Everything that other users of a machine could see: arguments and environments of all doubles. */
function visible(): string {
  const files = readdirSync(folder).filter((name) => /\.(argv|env)$/.test(name));
  return files.map(seen).join("\n");
}

function expectNoSecret(): void {
  const lines = tickets.map(({ token }) => token);
  for (const secret of [...lines, "quarry1."]) expect(visible() + JSON.stringify(events)).not.toContain(secret);
}

const read = (text: string): unknown => {
  const [, coded = ""] = /quarry1\.([\w-]+)/.exec(text) ?? [];
  return JSON.parse(Buffer.from(coded, "base64url").toString());
};

describe("ssh", () => {
  it("starts join on the other machine and hands the ticket to its stdin", async () => {
    await launch({ kind: "ssh", host: "user@gpu1", workers: 2, threads: 4, options: ["-p", "2222"] });
    await arrived("ssh");
    const [command, ...others] = argv("ssh").reverse();
    // Behind the node's own: of two mentions ssh takes the first.
    const last = ["-p", "2222", "-o", "ConnectTimeout=30", "--", "user@gpu1"];
    expect(others.reverse().slice(-last.length)).toEqual(last);
    expect(argv("ssh")).toContain("BatchMode=yes");
    expect(command).toBe(
      `exec env PYTHONPATH=/opt/quarry/py_runtime PYTHONUNBUFFERED=1 ${folder}/python -m quarry_runtime join ` +
        "--ticket - --device auto --workers 2 --threads 4",
    );
    expect(read(seen("ssh-0.stdin"))).toEqual(tickets[0]);
    expectNoSecret();
  });

  it("hands each machine a ticket of its own", async () => {
    await launch({ kind: "ssh", host: "gpu1" }, { kind: "ssh", host: "gpu2" });
    await Promise.all([arrived("ssh", 0), arrived("ssh", 1)]);
    const found = [read(seen("ssh-0.stdin")), read(seen("ssh-1.stdin"))];
    expect(found).toEqual(expect.arrayContaining(tickets.slice(0, 2)));
  });

  it("takes a folder with spaces and quotes as it is, and no host for an option", () => {
    expect(quoted("/it's a/folder")).toBe("'/it'\\''s a/folder'");
    for (const host of ["-oProxyCommand=touch /tmp/x", "a b", ""]) {
      expect(nodeSchema.safeParse({ kind: "ssh", host }).success).toBe(false);
    }
  });
});

describe("Slurm", () => {
  it("lets srun hand the ticket to every task", async () => {
    await launch({ kind: "slurm", nodes: 2, workersPerNode: 4, args: ["--partition=gpu"], python: "/opt/py" });
    await arrived("srun");
    const given = argv("srun");
    expect(given).toEqual(expect.arrayContaining(["--nodes=2", "--ntasks-per-node=4", "--kill-on-bad-exit=0"]));
    expect(given.indexOf("--partition=gpu")).toBeLessThan(given.indexOf("env"));
    expect(given.slice(given.indexOf("/opt/py"))).toEqual(
      "/opt/py -m quarry_runtime join --ticket - --device auto".split(" "),
    );
    expect(read(seen("srun-0.stdin"))).toEqual(tickets[0]);
    expectNoSecret();
  });

  it("lets sbatch read a script that holds the ticket, and cancels that job", async () => {
    await launch({ kind: "slurm", via: "sbatch", nodes: 3, directory: "/a b/py" });
    await arrived("sbatch");
    expect(argv("sbatch")).toEqual(expect.arrayContaining(["--wait", "--nodes=3", "--ntasks-per-node=1"]));
    const script = seen("sbatch-0.stdin");
    expect(script).toMatch(
      /^#!\/bin\/sh\nsrun .* env 'PYTHONPATH=\/a b\/py' .* join --ticket - .* <<'QUARRY_TICKET'\nquarry1\./,
    );
    expect(read(script)).toEqual(tickets[0]);
    const name = argv("sbatch").find((word) => word.startsWith("--job-name="));
    behave("exec sleep 60");
    await launched?.close();
    await until(() => existsSync(join(folder, "scancel-0.argv")));
    expect(argv("scancel")).toEqual([(name ?? "").replace("--job-name", "--name")]);
    expectNoSecret();
  });

  it("cancels the job of an sbatch that was killed", async () => {
    behave("exec sleep 600");
    await launch({ kind: "slurm", via: "sbatch", nodes: 1 });
    await arrived("sbatch");
    const name = argv("sbatch").find((word) => word.startsWith("--job-name="));
    await until(() => processesWith(`DOUBLES=${folder}`).some(isSleep));
    for (const pid of processesWith(`DOUBLES=${folder}`)) if (isSleep(pid)) process.kill(pid, "SIGKILL");
    await launched?.ended;
    expect(argv("scancel")).toEqual([(name ?? "").replace("--job-name", "--name")]);
    expect(events).toMatchObject([{ message: expect.stringContaining("was killed by SIGKILL") as string }]);
  });
});

describe("torchrun", () => {
  it("gives its ranks a private file, which is gone when they are", async () => {
    await launch({ kind: "torchrun", workersPerNode: 2, args: ["--max-restarts=1"] });
    await until(() => existsSync(join(folder, "python-0.argv")));
    const given = argv("python");
    expect(given.slice(0, 2)).toEqual(["-m", "torch.distributed.run"]);
    expect(given).toEqual(
      expect.arrayContaining(["--rdzv-endpoint=127.0.0.1:0", "--nproc-per-node=2", "--with-parent"]),
    );
    expect(given.indexOf("--max-restarts=1")).toBeLessThan(given.lastIndexOf("-m"));
    const path = given[given.indexOf("--ticket") + 1] ?? "";
    // Whoever comes after a kill knows whose it was, and removes it with all of torchrun's files.
    expect(basename(dirname(path))).toContain(processMark());
    expect(given).toContain(`--log-dir=${dirname(path)}/logs`);
    expect(read(readFileSync(path, "utf8"))).toEqual(tickets[0]);
    expectNoSecret();
    await launched?.close();
    expect(existsSync(path)).toBe(false);
  });
});

describe("by hand", () => {
  it("says where the command is, without the ticket", async () => {
    await launch({ kind: "manual" });
    expect(events).toMatchObject([{ type: "notice", hint: expect.stringContaining("--print --run runs/x") as string }]);
    expect(pastedCommand("quarry1.abc")).toBe(
      "npx quarry join --ticket - <<'QUARRY_TICKET'\nquarry1.abc\nQUARRY_TICKET\n",
    );
  });
});

describe("a node that ends", () => {
  it("is told with its last lines, and that no node is left", async () => {
    behave("echo 'Permission denied (publickey).' >&2; exit 255");
    await launch({ kind: "ssh", host: "gpu1" });
    await launched?.ended;
    const warning = events.find(({ type }) => type === "warning");
    expect(warning).toMatchObject({
      message: "node-0 (ssh gpu1) ended with status 255. Its last lines:\n  Permission denied (publickey).",
      hint: expect.stringContaining("node-0.log") as string,
    });
  });

  it("for want of Quarry's modules is told how to name where they lie", async () => {
    behave("echo '/opt/bin/python: No module named quarry_runtime' >&2; exit 1");
    await launch({ kind: "ssh", host: "gpu1" });
    await launched?.ended;
    const hint = expect.stringContaining("Set the node's directory to where py_runtime lies there. See") as string;
    expect(events).toMatchObject([{ type: "warning", hint }]);
  });

  it("is no matter for a warning when its workers were not needed any more", async () => {
    behave("exit 0");
    await launch({ kind: "ssh", host: "gpu1" });
    await launched?.ended;
    expect(events.map(({ type }) => type)).toEqual(["log"]);
  });

  it("that cannot be started ends those that were started before it", async () => {
    // Where its log should be.
    mkdirSync(join(folder, "logs", "node-1.log"), { recursive: true });
    behave("exec sleep 600");
    const launching = launch({ kind: "ssh", host: "gpu1" }, { kind: "ssh", host: "gpu2" });
    await expect(launching).rejects.toThrow("EISDIR");
    // What a double of the shell had called ends a moment after it.
    await until(() => processesWith(`DOUBLES=${folder}`).length === 0);
  });

  it("is not waited for while somebody may still start workers by hand", async () => {
    behave("exit 0");
    await launch({ kind: "ssh", host: "gpu1" }, { kind: "manual" });
    await until(() => events.some(({ type }) => type === "log"));
    const isEnded = await Promise.race([
      launched?.ended.then(() => true),
      new Promise((done) => setTimeout(done, 100, false)),
    ]);
    expect(isEnded).toBe(false);
  });

  it("whose program is missing says so", async () => {
    rmSync(join(folder, "srun"));
    python = { ...python, env: { ...python.env, PATH: folder } };
    await launch({ kind: "slurm", nodes: 1 });
    await launched?.ended;
    const message = expect.stringContaining(
      "ENVIRONMENT: srun cannot be started: No such file or directory.",
    ) as string;
    expect(events).toMatchObject([{ type: "warning", message }]);
  });

  it("is ended with the run, even one that does not want to", async () => {
    behave("trap '' TERM; while :; do sleep 0.1; done");
    await launch({ kind: "ssh", host: "gpu1" });
    await arrived("ssh");
    await launched?.close();
    expect(events).toEqual([]);
  });
});
