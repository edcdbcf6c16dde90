// x · sigmoid(gate) against its definition in float64.
import { sigmoidGate } from '../../../lib/tensor/ops/layers/elementwise';
import { expectRoundedOnce, expectSameBits, expectWithinRoundings } from '../../support/accuracy';
import { allIsaLevels, onCpu } from '../../support/cpu';
import { bfloat16Targets, onAllVariants, targets, type Target } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { representable, tensorOf } from '../../support/half';
import { Random } from '../../support/random';

const random = new Random(41);

const values = (count: number, size: number): Float32Array =>
  representable(random.floats(count, size), 'bfloat16');

function reference(x: Float32Array, gate: Float32Array): Float64Array {
  return Float64Array.from(x, (value, i) => value / (1 + Math.exp(-gate[i]!)));
}

async function run(
  target: Target,
  x: Float32Array,
  gate: Float32Array,
  dtype: 'float32' | 'bfloat16' = 'float32',
  [atX, atGate]: readonly [number, number] = [0, 0],
): Promise<Float32Array> {
  const count = x.length;
  const [y] = await onAllVariants(target, (device) => {
    const [input, gates] = [
      [x, atX],
      [gate, atGate],
    ].map(([all, from]) => {
      const room = new Float32Array(count + 8);
      room.set(all as Float32Array, from as number);
      return tensorOf(device, room, [room.length], dtype).view(from as number, [count]);
    });
    return [sigmoidGate(input!, gates!).cast('float32')];
  });
  return y!;
}

describe.each([
  ...targets.map((target) => [target, 'float32'] as const),
  ...bfloat16Targets.map((target) => [target, 'bfloat16'] as const),
])('on %s in %s', (target, dtype) => {
  const expectClose = dtype === 'float32' ? expectWithinRoundings : expectRoundedOnce;

  // Less than a vector, a vector and a rest, more than one part of the work.
  test.each([0, 1, 7, 47, 40_001])('%i elements', async (count) => {
    const [x, gate] = [values(count, 4), values(count, 12)];
    expectClose(await run(target, x, gate, dtype), reference(x, gate), 4);
  });

  test('the same bits wherever each operand begins in memory', async () => {
    const [x, gate] = [values(70, 4), values(70, 12)];
    const aligned = await run(target, x, gate, dtype);
    for (const begins of [
      [1, 0],
      [0, 1],
      [2, 4],
    ] as const) {
      expectSameBits(await run(target, x, gate, dtype, begins), aligned);
    }
  });
});

test.each(targets)('at the ends of the range, on %s', async (target) => {
  const gate = Float32Array.of(0, -0, 1e-30, 80, -80, 3e38, -3e38, Infinity, -Infinity, NaN, 1);
  const x = new Float32Array(gate.length).fill(3);
  x[10] = NaN;
  const y = await run(target, x, gate);
  expectWithinRoundings(y.subarray(0, 5), reference(x, gate).subarray(0, 5), 64);
  expect([...y.subarray(5)]).toEqual([3, 0, 3, 0, NaN, NaN]);
});

test('all levels with fused multiply-adds give the same bits', async () => {
  const [x, gate] = [values(5000, 4), values(5000, 12)];
  const levels = allIsaLevels.filter((isa) => process.arch !== 'x64' || isa !== 'baseline');
  const results: Float32Array[] = [];
  for (const isa of levels) results.push(await run(isa, x, gate));
  for (const result of results) expectSameBits(result, results[0]!);
});

test('the result is not recorded, and other shapes are refused', async () => {
  await onCpu({}, async (device) => {
    const [x, gate] = [device.zeros([2, 3]).requireGrad(), device.zeros([2, 3]).requireGrad()];
    expect(sigmoidGate(x, gate).requiresGrad).toBe(false);
    expect(() => sigmoidGate(x, device.zeros([3, 2]))).toThrow(
      foretokenError('SHAPE_MISMATCH', 'sigmoidGate', 'x is [2, 3]', 'gate is [3, 2]'),
    );
    await device.synchronize();
  });
});
