// The cases of csrc/simt/tests, and the report that the emulator must give for each.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export interface Outcome {
  /** The emulator's report; empty if it found nothing. */
  report: string;
  /** The wrong results; empty if all are right. */
  wrong: string;
}

/** Runs cases under options of the emulator: all cases, unless some are named. */
export function runCases(
  program: 'simt_cases' | 'simt_cases_checked',
  options: string,
  names: readonly string[] = [],
): Record<string, Outcome> {
  const file = join(__dirname, '../../build/Release', program);
  const text = execFileSync(file, [options, ...names], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return JSON.parse(text) as Record<string, Outcome>;
}

/** Kernels without a fault, and uses of the runtime. */
export const sound = [
  'atomic operations',
  'last block',
  'flag',
  'blocks that wait for each other',
  'syncthreads',
  'syncthreads without threads that have exited',
  'syncwarp',
  'named barriers',
  'reductions of a block',
  'clusters',
  'clusters that do not divide the grid are refused',
  'multicast',
  'boxes',
  'tensor maps that drivers refuse',
  'box in, box out',
  'boxes are added up',
  'bulk copies',
  'device memory',
  'pinned memory',
  'stack: 40 KB',
  'atomicExch of what was never written',
  'shared memory: variables of 46 KiB',
  'neighbours write bytes',
  'neighbours write pairs of bytes',
  'kernels of a stream come one after the other',
  'a stream runs in order and does not block the host',
  'an event orders two streams',
  'a capture runs as often as it is launched',
  'what a capture does not allow',
  'what a relaxed capture allows',
  'pageable memory may change at once, pinned memory only when it is copied',
  'copies in the wrong direction or out of bounds are refused',
  'memory: allocations that do not fit are refused, and freed memory can be allocated again',
  "launches that exceed a GPU's limits are refused",
  'mma',
  'wgmma',
  'shuffles',
  'masks of parts of a warp',
  'votes and reductions',
  'elect',
  'a warp of 8 lanes',
  'wgmma operands: rows of k',
  'wgmma operands: b in rows of n',
  'wgmma operands: both in rows of m and n',
  'wgmma operands: a in registers',
  'wgmma operands: a in registers, b in rows of n',
  'wgmma operands: 8, 24, 200 and 256 columns',
  'wgmma product',
] as const;

const race = /race on /;
const unordered = /race on |never written/;
const outOfBounds = /out of bounds/;
const neverWritten = /read of memory that was never written/;
const inFlight = /asynchronous copy is writing/;

/** Kernels with a fault, and the text that the report must have under every schedule. */
export const faults: Record<string, RegExp> = {
  'last block: no fence before the atomic operation': /race on .* allocation/,
  'last block: no fence after it': /race on .* allocation/,
  'last block: a fence only for the block': /race on .* allocation/,
  'last block: no barrier before it': /race on .* allocation/,
  'flag: no fences': race,

  'syncthreads: none before a read': unordered,
  'syncthreads: none before a write': race,
  'syncthreads: divergent':
    /divergent __syncthreads: at .*barriers\.cu:\d+, while other threads are at .*barriers\.cu:\d+/,
  deadlock:
    /deadlock: no thread can run[^]*28 wait in __shfl_sync at .*barriers\.cu[^]*100 wait in __syncthreads at .*barriers\.cu/,
  'syncwarp: missing': unordered,
  'syncwarp: across warps': unordered,
  'syncwarp: a shuffle instead': race,
  'named barriers: the reader does not wait': unordered,
  'named barriers: the writer does not wait': unordered,
  'named barriers: too few threads': /only 32 of 64 threads reached barrier 1/,
  'named barriers: no multiple of a warp': /40 threads are not a multiple/,
  'named barriers: two counts': /bar\.sync: expects (96|64) threads, others at this barrier (64|96)/,

  'clusters: no barrier before the read': /race on |never written|out of bounds/,
  'clusters: a block leaves before it is read': /shared memory of a block that has exited|race on/,
  'clusters: a block that does not exist': /no block 3 in a cluster of 3/,
  'clusters: a wait without an arrival': /the thread has not arrived/,
  'clusters: two arrivals': /has arrived already and not waited/,
  'multicast: the copy waits only for its own block': /race on |deadlock/,

  'box in, box out: no fence of proxies': /race on [^]*fence_proxy_async/,
  'box in, box out: no barrier before the store': /race on |deadlock/,
  'box in, box out: overwritten before it is read': race,
  'box in, box out: the thread exits before it is read':
    /exits with bulk copies that may still read shared memory/,
  'box in, box out: misplaced in shared memory': /not aligned to 128 bytes/,
  'box in, box out: the result is read before it is written': race,
  'bulk copies: no wait between in and out': race,
  'mbarrier: not initialised': /not initialised, or was overwritten/,
  'mbarrier: initialised twice': /initialised already/,
  'mbarrier: too many arrivals': /more than the 1 arrivals of a phase/,
  'mbarrier: overwritten': /not initialised, or was overwritten/,
  'mbarrier: no thread waits': /bytes arrived that no thread has waited for/,
  'mbarrier: used before its initialisation is seen': /race on|not initialised/,

  'device memory: past the end': outOfBounds,
  'device memory: before the start': outOfBounds,
  'device memory: far past the end': outOfBounds,
  'device memory: read past the end': outOfBounds,
  'device memory: vector past the end': outOfBounds,
  'device memory: misaligned': /multiple of 16 points to byte 4 of an allocation[^]*memory\.cu:\d+/,
  'memory that is freed before a copy of it runs':
    /cudaMemcpyAsync: bytes 0 … 63 of freed memory of 64 bytes/,
  'device memory: null': /in neither device memory nor shared memory/,
  'device memory: freed': /freed memory of 256 bytes/,
  'device memory: of the host': /in neither device memory nor shared memory/,
  'stack: 400 KB': /run out of its stack of 256 KiB/,
  'never written: device memory': neverWritten,
  'never written: the last element': /never written: bytes 126 … 127 of an allocation of 128 bytes/,
  'never written: atomicAdd': neverWritten,
  'never written: memory that was used before and freed': neverWritten,
  'shared memory: past the end': /out of bounds: shared variable values, bytes 252 … 255 of 252/,
  'shared memory: never written': /never written: shared variable values, bytes 252 … 255 of 256/,
  'shared memory: dynamic, past the end': /out of bounds: dynamic shared memory/,
  'shared memory: variables of 50 KiB': /no room for second/,
  'race: two threads write': race,
  'race: overlapping writes of different sizes': race,
  'race: two blocks write': race,
  'race: a block reads what another writes': race,
  'race: atomic and plain': race,
  'a fault ends its stream': /^write_past_end: out of bounds: bytes \d+ … \d+ of an allocation of 128 bytes/,

  'mma: no wait for the last copies': inFlight,
  'mma: no barrier before the tiles are read': /race on |never written|asynchronous copy is writing/,
  'mma: no barrier before the tiles are overwritten': /race on |asynchronous copy is writing/,
  'mma: rows past the last are copied': outOfBounds,
  'wgmma: wrong parity': /deadlock: [^]*mbarrier\.try_wait/,
  'wgmma: fewer bytes announced than come': race,
  'wgmma: more bytes announced than come': /deadlock: [^]*mbarrier\.try_wait/,
  'wgmma: no wait for the copies': /race on |never written|more than the 128 arrivals/,
  'wgmma: stage released before the products are finished': race,
  'wgmma: no wait for the products': /race on |products that it has not waited for/,
  'wgmma: no fence before the first product': /no wgmma\.fence before the first product/,
  'wgmma: no fence after the barriers are made': /fence_mbarrier_init/,
  'wgmma: stage released by one of four warps': race,
  'wgmma: only three warps multiply': /deadlock: [^]*mbarrier\.try_wait/,
  'wgmma product: no fence of proxies': /race on [^]*fence_proxy_async/,
  'wgmma product: warps name different operands': /warps of a group issue different products/,
  'wgmma product: operand out of bounds': outOfBounds,

  'masks: without the caller': /0x0000ffff lacks the lane that calls/,
  'masks: lanes that have exited': /exits, but is waited for in __shfl_sync|names lanes that have exited/,
  'masks: overlapping': /overlaps|names lanes that have exited/,
  'masks: different operations': /other lanes of the mask are in /,
  'masks: a lane outside is read': /reads lane 20, which is not in the mask/,
  'masks: an odd width': /a width of 12/,
  'masks: lanes that do not exist': /names lanes that do not exist/,
};

/** Faults that no report names, because registers are not checked. The results are wrong instead. */
export const wrongResults = ['wgmma product: sums are read too early'] as const;
