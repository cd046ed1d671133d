/** Keeps the weights of checkpoints that have to mine: hard links, which training's own clearing up does not touch. */
import { copyFileSync, existsSync, linkSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { OF_TRAINING } from "../../training/index.js";

/** Folders of weights named checkpoint-<step>, each whole or not there. */
export class HeldCheckpoints {
  constructor(private readonly folder: string) {}

  /** The folder of a step's weights. */
  path(step: number): string {
    return join(this.folder, `checkpoint-${step}`);
  }

  /** Steps whose weights are held, ascending. */
  steps(): number[] {
    if (!existsSync(this.folder)) return [];
    return readdirSync(this.folder)
      .flatMap((name) => /^checkpoint-(\d+)$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((one, other) => one - other);
  }

  /** Holds a complete checkpoint; synchronous, so that it is done before training can clear it away. */
  hold(step: number, checkpoint: string): void {
    const target = this.path(step);
    if (existsSync(target)) return;
    const temporary = join(this.folder, `.checkpoint-${step}`);
    rmSync(temporary, { recursive: true, force: true });
    linkTree(checkpoint, temporary, OF_TRAINING);
    renameSync(temporary, target);
  }

  /** Lets go of the weights of a step and of those before it. */
  release(upTo: number): void {
    for (const step of this.steps()) if (step <= upTo) rmSync(this.path(step), { recursive: true, force: true });
  }
}

function linkTree(from: string, to: string, skipped: RegExp | null): void {
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from)) {
    if (skipped?.test(name) === true) continue;
    const [source, target] = [join(from, name), join(to, name)];
    if (statSync(source).isDirectory()) linkTree(source, target, null);
    else linkFile(source, target);
  }
}

/** Some file systems know no hard links; a copy does as well. */
function linkFile(source: string, target: string): void {
  try {
    linkSync(source, target);
  } catch (thrown) {
    if (!["EPERM", "ENOTSUP", "EXDEV", "EMLINK", "EOPNOTSUPP"].includes((thrown as NodeJS.ErrnoException).code ?? ""))
      throw thrown;
    copyFileSync(source, target);
  }
}
