/** Maps a file into memory through koffi; Node itself has no way to. */
import { createRequire } from "node:module";

const PROT_READ = 1;
const MAP_SHARED = 1;
const MADV_RANDOM = 1;
const MADV_WILLNEED = 3;
const FAILED = 0xffff_ffff_ffff_ffffn;
/** Offsets of windows are multiples of this, whatever the system's page size is: 4, 16 or 64 KiB. */
export const WINDOW_ALIGNMENT = 65_536;

interface Calls {
  readonly mmap: (at: null, length: number, protection: number, flags: number, fd: number, offset: number) => unknown;
  /** Takes the address as a number: below 2 ** 47 on all systems there are. */
  readonly madvise: (at: number, length: number, advice: number) => number;
  readonly munmap: (at: number, length: number) => number;
  readonly pageSize: number;
  readonly address: (pointer: unknown) => bigint;
  readonly view: (pointer: unknown, length: number) => ArrayBuffer;
}

let calls: Calls | null | undefined;

/** Null where there is no koffi for this system, or no such call. */
function bind(): Calls | null {
  if (process.platform === "win32") return null;
  try {
    const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
    const libc = koffi.load(null);
    return {
      mmap: libc.func("void *mmap(void *at, size_t length, int protection, int flags, int fd, int64_t offset)"),
      madvise: libc.func("int madvise(uintptr_t at, size_t length, int advice)"),
      munmap: libc.func("int munmap(uintptr_t at, size_t length)"),
      pageSize: (libc.func("int getpagesize()") as () => number)(),
      address: (pointer) => koffi.address(pointer),
      view: (pointer, length) => koffi.view(pointer, length),
    };
  } catch {
    return null;
  }
}

/** Unmaps only once nothing can reach the buffer any more: a view of unmapped memory ends the process (SIGSEGV). */
const unmapper = new FinalizationRegistry<{ at: number; length: number }>(({ at, length }) => {
  calls?.munmap(at, length);
});

/** A read-only window of a file. */
export interface MappedWindow {
  readonly buffer: ArrayBuffer;
  /** Asks the system to read a part of the window ahead; it does so on its own, the caller goes on at once. */
  willNeed(from: number, length: number): void;
}

/**
 * A window of an open file, or null where mapping is not possible. `offset` is a multiple of WINDOW_ALIGNMENT; `length`
 * at most 1 GiB (views beyond 4 GiB abort Node 20). The descriptor may be closed afterwards.
 */
export function mapWindow(fd: number, offset: number, length: number): MappedWindow | null {
  if (calls === undefined) calls = bind();
  if (calls === null) return null;
  const { madvise, address, pageSize } = calls;
  const pointer = calls.mmap(null, length, PROT_READ, MAP_SHARED, fd, offset);
  if (address(pointer) === FAILED) return null;
  const at = Number(address(pointer));
  // Reading ahead around random rows costs 14 times the throughput on a cold file (README).
  madvise(at, length, MADV_RANDOM);
  const buffer = calls.view(pointer, length);
  unmapper.register(buffer, { at, length });
  return {
    buffer,
    willNeed: (from, count) => {
      const start = from - (from % pageSize);
      madvise(at + start, from + count - start, MADV_WILLNEED);
    },
  };
}
