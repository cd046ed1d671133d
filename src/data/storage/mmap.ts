/** Maps a file into memory through koffi; Node itself has no way to. */
import koffi from "koffi";

const PROT_READ = 1;
const MAP_SHARED = 1;
const MADV_RANDOM = 1;
const FAILED = 0xffff_ffff_ffff_ffffn;

interface Calls {
  readonly mmap: (at: null, length: number, protection: number, flags: number, fd: number, offset: number) => unknown;
  readonly madvise: (at: unknown, length: number, advice: number) => number;
  readonly munmap: (at: unknown, length: number) => number;
}

let calls: Calls | null | undefined;

function bind(): Calls | null {
  if (process.platform === "win32") return null;
  try {
    const libc = koffi.load(null);
    return {
      mmap: libc.func("void *mmap(void *at, size_t length, int protection, int flags, int fd, int64_t offset)"),
      madvise: libc.func("int madvise(void *at, size_t length, int advice)"),
      munmap: libc.func("int munmap(void *at, size_t length)"),
    };
  } catch {
    return null;
  }
}

/** Unmaps only once nothing can reach the buffer any more: a view of unmapped memory ends the process (SIGSEGV). */
const unmapper = new FinalizationRegistry<{ at: unknown; length: number }>(({ at, length }) => {
  calls?.munmap(at, length);
});

/**
 * A read-only window of an open file, or null where mapping is not possible. `offset` is a multiple of the page size;
 * `length` at most 1 GiB (views beyond 4 GiB abort Node 20). The descriptor may be closed afterwards.
 */
export function mapWindow(fd: number, offset: number, length: number): ArrayBuffer | null {
  if (calls === undefined) calls = bind();
  if (calls === null) return null;
  const at = calls.mmap(null, length, PROT_READ, MAP_SHARED, fd, offset);
  if (koffi.address(at) === FAILED) return null;
  // Reading ahead around random rows costs 14 times the throughput on a cold file (README).
  calls.madvise(at, length, MADV_RANDOM);
  const buffer = koffi.view(at, length);
  unmapper.register(buffer, { at, length });
  return buffer;
}
