// The default memory limit of a CPU device: the free memory.
import { native } from '../../lib/native/load';
import { openDevice } from '../../lib/tensor/device';
import { foretokenError } from '../support/errors';
import { TemporaryDirectory } from '../support/temporary';

const temporary = new TemporaryDirectory();
const GiB = 2 ** 30;

/** Reads the memory from such files of the system; the default files say 16 GiB, 12 of them free. */
function memory(files: Record<string, string | number>): { all: number; free: number } {
  const meminfo = `MemTotal: ${16 * 2 ** 20} kB\nMemFree: 1 kB\nMemAvailable: ${12 * 2 ** 20} kB\n`;
  for (const [name, contents] of Object.entries({ 'proc/meminfo': meminfo, ...files })) {
    temporary.write(name, `${contents}\n`);
  }
  return native.cpuInfo(temporary.path).memory;
}

test('free memory of the machine', () => {
  expect(memory({})).toEqual({ all: 16 * GiB, free: 12 * GiB });
});

test('free memory of a cgroup of version 2: its limit minus memory that it cannot return', () => {
  const group = 'sys/fs/cgroup/user/me';
  expect(
    memory({
      'proc/self/cgroup': '0::/user/me',
      [`${group}/memory.max`]: 8 * GiB,
      [`${group}/memory.current`]: 5 * GiB,
      [`${group}/memory.stat`]: `anon 1\ninactive_file ${2 * GiB}`,
    }),
  ).toEqual({ all: 8 * GiB, free: 5 * GiB });
});

test('free memory of an enclosing cgroup with a lower limit', () => {
  expect(
    memory({
      'proc/self/cgroup': '0::/user/me',
      'sys/fs/cgroup/user/me/memory.max': 'max',
      'sys/fs/cgroup/user/memory.max': 4 * GiB,
      'sys/fs/cgroup/user/memory.current': 1 * GiB,
    }),
  ).toEqual({ all: 4 * GiB, free: 3 * GiB });
});

test('free memory of a container, whose cgroup is the outermost folder', () => {
  expect(
    memory({
      'proc/self/cgroup': '0::/outside/of/here',
      'sys/fs/cgroup/memory.max': 2 * GiB,
      'sys/fs/cgroup/memory.current': 3 * GiB,
    }),
  ).toEqual({ all: 2 * GiB, free: 0 });
});

test('free memory of a cgroup of version 1', () => {
  const group = 'sys/fs/cgroup/memory/mine';
  expect(
    memory({
      'proc/self/cgroup': '12:cpu,cpuacct:/other\n9:memory:/mine\n0::/',
      [`${group}/memory.limit_in_bytes`]: 6 * GiB,
      [`${group}/memory.usage_in_bytes`]: 2 * GiB,
      [`${group}/memory.stat`]: `cache 5\ntotal_inactive_file ${1 * GiB}`,
      'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712',
    }),
  ).toEqual({ all: 6 * GiB, free: 5 * GiB });
});

test('free memory is the limit of a device without memoryLimit', () => {
  using device = openDevice('cpu', { threads: 1 });
  const { all, free } = native.cpuInfo().memory;
  let message = '';
  try {
    device.empty([2 ** 50]);
  } catch (error) {
    expect(error).toEqual(foretokenError('OUT_OF_MEMORY', 'empty: out of memory', 'limit'));
    message = String(error);
  }
  const limit = Number(/limit (\d+)/.exec(message)![1]);
  expect(limit).toBeLessThan(all);
  // Free memory changes at any time.
  expect(limit / free).toBeGreaterThan(0.7);
  expect(limit / free).toBeLessThan(1.2);
});
