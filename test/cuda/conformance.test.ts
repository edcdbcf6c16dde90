// Compares the registers that wrappers of PTX instructions leave on the emulator with the definition of each instruction, which
// is written a second time here, and with the registers of a GPU. If the machine has a GPU, the test writes its registers to the
// fixture; otherwise it reads the fixture.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { native } from '../../lib/native/load';
import { nearest } from '../support/half';

interface Dumps {
  device: string;
  /** The registers of each thread, by wrapper. */
  dumps: Record<string, number[][]>;
}

const build = join(__dirname, '../../build/Release');
const fixture = join(__dirname, '../fixtures/ptx-registers.json');
const dump = (program: string): Dumps =>
  JSON.parse(execFileSync(join(build, program), { encoding: 'utf8' })) as Dumps;

const emulated = dump('ptx_dump_emulated').dumps;
const lanes = Array.from({ length: 32 }, (_, lane) => lane);

const bitsOf = (x: number): number => new Uint32Array(Float32Array.of(x).buffer)[0]!;
const floatOf = (bits: number): number => new Float32Array(Uint32Array.of(bits).buffer)[0]!;

/** Element k of a tile whose row r holds r · 256 + 0 … 7. */
const tileRow = (lane: number): number => (lane * 5 + 3) % 32;
const element = (row: number, column: number): number => row * 256 + column;
const pair = (low: number, high: number): number => (low | (high << 16)) >>> 0;

function ldmatrix(tiles: number, transposed: boolean): number[][] {
  return lanes.map((lane) =>
    Array.from({ length: tiles }, (_, tile) => {
      const at = (row: number, column: number): number => element(tileRow(8 * tile + row), column);
      const [g, t] = [lane >> 2, lane & 3];
      return transposed ? pair(at(2 * t, g), at(2 * t + 1, g)) : pair(at(g, 2 * t), at(g, 2 * t + 1));
    }),
  );
}

const integer = (i: number): number => ((i * 7) % 19) - 9;

function mma(): number[][] {
  const a = (row: number, k: number): number => {
    const lane = (row % 8) * 4 + ((k % 8) >> 1);
    const register = (row >= 8 ? 1 : 0) + (k >= 8 ? 2 : 0);
    return integer(2 * (lane * 4 + register) + (k % 2));
  };
  const b = (k: number, column: number): number => {
    const lane = column * 4 + ((k % 8) >> 1);
    return integer(2 * (1000 + lane * 2 + (k >= 8 ? 1 : 0)) + (k % 2));
  };
  return lanes.map((lane) =>
    [0, 1, 2, 3].map((i) => {
      const [row, column] = [(lane >> 2) + (i >= 2 ? 8 : 0), (lane & 3) * 2 + (i % 2)];
      let sum = lane * 4 + i;
      for (let k = 0; k < 16; k++) sum += a(row, k) * b(k, column);
      return bitsOf(sum);
    }),
  );
}

/** Element (i, k) of matrix `number`, of which tiles are loaded. */
const tileElement = (number: number, i: number, k: number): number =>
  integer(number * 5000 + i * 3 + k * 5 + ((i * k) % 11));

/** Whether an element of a matrix, by row and column of memory, is inside its tensor map. */
const isInside = (row: number, column: number): boolean => row < 61 && column < 59;

/** Rows of 128 bytes; the 16-byte piece p of row r is at p ^ r % 8. */
function tensorLoad(): number[][] {
  const words = Array.from({ length: 64 * 32 }, (_, word) => {
    const [row, place] = [word >> 5, word & 31];
    const column = (((place >> 2) ^ (row & 7)) << 3) + (place & 3) * 2;
    const bits = (k: number): number => (isInside(row, k) ? bitsOf(tileElement(0, row, k)) >>> 16 : 0);
    return pair(bits(column), bits(column + 1));
  });
  return Array.from({ length: 128 }, (_, thread) => words.slice(thread * 16, thread * 16 + 16));
}

/** The sums of a warpgroup, which begin at 0, 1, 2 …; matrices are stored as [row or column of C, k], or transposed. */
function wgmma(transposed: boolean, registers: boolean): number[][] {
  const inside = (i: number, k: number): boolean => (transposed ? isInside(k, i) : isInside(i, k));
  const a = (i: number, k: number): number => (registers || inside(i, k) ? tileElement(0, i, k) : 0);
  const b = (i: number, k: number): number => (inside(i, k) ? tileElement(1, i, k) : 0);
  return Array.from({ length: 128 }, (_, thread) =>
    Array.from({ length: 32 }, (_, register) => {
      const row = (thread >> 5) * 16 + ((thread & 31) >> 2) + (register & 2 ? 8 : 0);
      const column = (register >> 2) * 8 + (thread & 3) * 2 + (register & 1);
      let sum = register;
      for (let k = 0; k < 64; k++) sum += a(row, k) * b(column, k);
      return bitsOf(sum);
    }),
  );
}

const namedBarrier = (): number[][] =>
  Array.from({ length: 64 }, (_, thread) => [thread < 32 ? 0 : (63 - thread) * 11]);

/** An element of a tensor of 8 rows of 32 numbers, before any operation. */
const numberBefore = (row: number, column: number): number => 1000 + row * 32 + column;
const numberOfBox = (i: number): number => (i * 3) % 101;

const bulkCopies = (): number[][] =>
  lanes.map((lane) => [bitsOf(numberBefore(0, lane)), bitsOf(2 * numberBefore(0, lane))]);

/** The columns of the tensor after a box is stored at row 3 and column 8. */
function withBox(place: (row: number, column: number) => number, adds: boolean): number[][] {
  return lanes.map((column) =>
    Array.from({ length: 8 }, (_, row) => {
      const before = numberBefore(row, column);
      if (row < 3 || column < 8) return bitsOf(before);
      return bitsOf(numberOfBox(place(row - 3, column - 8)) + (adds ? before : 0));
    }),
  );
}

const swizzled = (row: number, column: number): number =>
  row * 32 + ((column >> 2) ^ (row & 7)) * 4 + (column & 3);

const cluster = (): number[][] =>
  [0, 1].flatMap((rank) =>
    lanes.map((lane) => [rank, 2, (1 - rank) * 100 + lane, bitsOf(numberBefore(0, lane)), 1]),
  );

/** A hash of all sums of each thread. */
function wgmmaOfWidth(columns: number): number[][] {
  return Array.from({ length: 128 }, (_, thread) => {
    let all = 0;
    for (let register = 0; register < columns / 2; register++) {
      const row = (thread >> 5) * 16 + ((thread & 31) >> 2) + (register & 2 ? 8 : 0);
      const column = (register >> 2) * 8 + (thread & 3) * 2 + (register & 1);
      let sum = register;
      for (let k = 0; k < 16; k++) sum += tileElement(0, row, k) * tileElement(1, column, k);
      all = (Math.imul(all, 31) + bitsOf(sum)) >>> 0;
    }
    return [all, all];
  });
}
const widths = Array.from({ length: 32 }, (_, i) => 8 * (i + 1));

const cpAsync = (): number[][] =>
  lanes.map((lane) => {
    const copier = (lane + 1) % 32;
    const source = (copier + 7) % 32;
    return [0, 100, 200, 300].map((offset) => (copier % 3 === 0 ? 0 : source + offset));
  });

describe('the emulator', () => {
  test.each([
    ['ldmatrix_x4', ldmatrix(4, false)],
    ['ldmatrix_x4_transposed', ldmatrix(4, true)],
    ['ldmatrix_x2', ldmatrix(2, false)],
    ['mma_m16n8k16_bf16', mma()],
    ['cp_async', cpAsync()],
    ['named_barrier', namedBarrier()],
    ['bulk_copies', bulkCopies()],
    ['tensor_store', withBox(swizzled, false)],
    ['tensor_reduce_add', withBox((row, column) => row * 32 + column, true)],
    ['cluster', cluster()],
    ['tensor_load', tensorLoad()],
    ['wgmma_bf16', wgmma(false, false)],
    ['wgmma_bf16_transposed', wgmma(true, false)],
    ['wgmma_bf16_registers', wgmma(false, true)],
    ['wgmma_bf16_registers_transposed', wgmma(true, true)],
    ...widths.map((columns) => [`wgmma_bf16_${columns}`, wgmmaOfWidth(columns)] as const),
  ] as const)('follows the definition of %s', (name, expected) => {
    expect(emulated[name]).toEqual(expected);
  });

  test('converts to the nearest number, and to the even one in a tie', () => {
    const cases = [
      ...[0x00000000, 0x80000000, 0x3f800000, 0x3f808000, 0x3f818000, 0x3f80ffff, 0x7f7fffff, 0x7f800000],
      ...[0xff800000, 0x7fc00000, 0x00000001, 0x007fffff, 0x33000000, 0x33000001, 0x387fe000, 0x477fe000],
      ...[0x477fefff, 0x477ff000, 0x38800000, 0xc2f6e979, 0x3eaaaaab, 0x40490fdb, 0xb8d1b717, 0x4b189680],
      ...[0x38000000, 0x387fffff, 0x33800000, 0x337fffff, 0xbf808000, 0xbf818000, 0x477fffff, 0x00800000],
    ].map(floatOf);
    const toBfloat16 = (x: number): number =>
      Number.isNaN(x) ? 0x7fff : bitsOf(nearest(x, 'bfloat16')) >>> 16;
    emulated.conversions!.forEach(([bfloat16, two, half], lane) => {
      const [x, y] = [cases[lane]!, cases[(lane + 1) % 32]!];
      // Zero keeps its sign.
      if (x !== 0) expect([lane, bfloat16]).toEqual([lane, toBfloat16(x)]);
      if (x !== 0 && y !== 0) expect([lane, two]).toEqual([lane, pair(toBfloat16(x), toBfloat16(y))]);
      const rounded = nearest(x, 'float16');
      if (Number.isNaN(x)) expect(half).toBe(0x7fff);
      else expect([lane, halfOf(half!)]).toEqual([lane, rounded]);
    });
    emulated.conversions!.forEach((words, lane) => {
      const value = halfOf((lane * 2113) & 0xffff);
      if (Number.isNaN(value)) expect(floatOf(words[3]!)).toBeNaN();
      else expect([lane, floatOf(words[3]!)]).toEqual([lane, value]);
    });
  });

  test('multiplies pairs and rounds each product to nearest', () => {
    emulated.conversions!.forEach((words, lane) => {
      for (const [half, multiple] of [2113, 1999].entries()) {
        const factor = floatOf((((lane * multiple) & 0xffff) << 16) >>> 0);
        const product = factor * integer(2 * lane + half);
        const actual = floatOf(half === 0 ? (words[4]! << 16) >>> 0 : (words[4]! & 0xffff0000) >>> 0);
        if (Number.isNaN(product)) expect(actual).toBeNaN();
        else expect([lane, actual + 0]).toEqual([lane, nearest(Math.fround(product), 'bfloat16') + 0]);
      }
    });
  });

  test('is compared with every wrapper that changes registers or memory', () => {
    const sources = join(__dirname, '../../csrc/cuda');
    const textOf = (folder: string, pattern: RegExp): string =>
      readdirSync(folder)
        .filter((file) => pattern.test(file))
        .map((file) => readFileSync(join(folder, file), 'utf8'))
        .join('\n');
    const wrappers = textOf(join(sources, 'ptx'), /./).matchAll(/^FORETOKEN_DEVICE [\w*]+ (\w+)\(/gm);
    const names = new Set([...wrappers].map(([, name]) => name!));
    expect(names.size).toBeGreaterThan(45);
    // Addresses, the time and the number of registers differ from device to device.
    const unseen = ['shared_address', 'global_timer', 'raise_registers', 'lower_registers'];
    // The code of tiles calls the wrapper that describes operands.
    const dumps =
      textOf(join(sources, 'conformance'), /./) + textOf(join(sources, 'linear'), /^gemm_hopper_tiles/);
    const missing = [...names].filter((name) => !new RegExp(`ptx::${name}\\b`).test(dumps));
    expect(missing.sort()).toEqual(unseen.sort());
  });

  test('leaves the registers that a GPU leaves, for every wrapper', () => {
    if (native.cudaInfo().devices.length > 0) {
      mkdirSync(dirname(fixture), { recursive: true });
      writeFileSync(fixture, `${JSON.stringify(dump('ptx_dump'))}\n`);
    }
    const real = JSON.parse(readFileSync(fixture, 'utf8')) as Dumps;
    // The emulated GPU has compute capability 9.0; GPUs of lower capability have fewer wrappers.
    for (const [name, registers] of Object.entries(real.dumps))
      expect([name, emulated[name]]).toEqual([name, registers]);
  });
});

function halfOf(bits: number): number {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction * 2 ** -24);
}
