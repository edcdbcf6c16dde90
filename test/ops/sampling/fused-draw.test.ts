// Draws fused with the unembedding equal draws from written logits, for any number of rows.
import type { ActivationDType } from '../../../lib/native/binding';
import type { Device } from '../../../lib/tensor/device';
import { linear, packWeight } from '../../../lib/tensor/ops/linear/linear';
import { linearSample, sampleLogits } from '../../../lib/tensor/ops/sampling/sampling';
import { uploadTrees } from '../../../lib/tensor/ops/attention/tree-rows';
import { readPaths, verifyTree } from '../../../lib/tensor/ops/sampling/verify-tree';
import type { Tensor } from '../../../lib/tensor/tensor';
import { bfloat16Targets, isEmulated, onDevice, onEachVariant, targets } from '../../support/devices';
import { takeIndices } from '../../support/draws';
import { representable, tensorOf } from '../../support/half';
import { Random } from '../../support/random';
import { possibleDraws } from '../../support/sampling-oracle';

interface Problem {
  hidden: Tensor;
  weight: Tensor;
  bias: Tensor;
  positions: Tensor;
}

/**
 * Hidden states and an unembedding in which the logits of neighbouring tokens differ only in their last bits, so sums in
 * another order would draw other tokens.
 */
function nearTies(device: Device, rows: number, dim: number, vocab: number, dtype: ActivationDType): Problem {
  const random = new Random(rows * vocab);
  const weights = valuesOf(random.floats(vocab * dim), dtype);
  const states = valuesOf(random.floats(rows * dim), dtype);
  for (let token = 3; token < vocab; token++) {
    const twin = weights.subarray((token - 3) * dim, (token - 2) * dim);
    const own = weights.subarray(token * dim, (token + 1) * dim);
    if (token % 7 === 0) own.set(twin);
    if (token % 5 !== 0) continue;
    own.set(dtype === 'float32' ? twin.map((w) => w * (1 + 2 ** -23)) : twin);
    // A nearby bfloat16; below, its hidden state is made so small that the logits differ only in their last bits.
    if (dtype === 'bfloat16') own[0] = valuesOf(Float32Array.of(own[0]! * (1 + 2 ** -6)), dtype)[0]!;
  }
  if (dtype === 'bfloat16') states.forEach((_, i) => (states[i]! *= i % dim === 0 ? 2 ** -17 : 1));
  return {
    hidden: tensorOf(device, states, [rows, dim], dtype),
    weight: tensorOf(device, weights, [vocab, dim], dtype),
    bias: device.tensor(random.floats(vocab, 1e-6)),
    positions: device.tensor(Int32Array.from({ length: rows }, () => random.integer(6))),
  };
}

function valuesOf(values: Float32Array, dtype: ActivationDType): Float32Array {
  return dtype === 'float32' ? values : representable(values, dtype);
}

describe.each(targets)('fused draws on %s', (target) => {
  const dtypes: ActivationDType[] = bfloat16Targets.includes(target) ? ['float32', 'bfloat16'] : ['float32'];

  async function expectDrawsOfLogits(
    device: Device,
    [vocab, dim]: readonly [number, number],
    rowCounts: readonly number[],
    dtype: ActivationDType,
  ): Promise<void> {
    const { hidden, weight, bias, positions } = nearTies(device, Math.max(...rowCounts), dim, vocab, dtype);
    const packed = packWeight(weight);
    const logits = linear(hidden, weight, bias, 'float32');
    for (const temperature of [0, 0.7]) {
      const options = { temperature, seed: 2n ** 33n };
      const expected = await takeIndices(sampleLogits(logits, positions, options));
      if (vocab > 100) expect(new Set(expected).size).toBeGreaterThan(Math.max(...rowCounts) / 5);
      const draws = rowCounts.flatMap((rows) =>
        [weight, packed].map((unembedding) => {
          const at = positions.view(0, [rows]);
          const drawn = linearSample(hidden.view(0, [rows, dim]), unembedding, {
            bias,
            positions: at,
            ...options,
          });
          return takeIndices(drawn);
        }),
      );
      for (const drawn of await Promise.all(draws)) expect(drawn).toEqual(expected.slice(0, drawn.length));
    }
  }

  const sizes = [
    [1, 1],
    [31, 3],
    [512, 64],
    [1500, 37],
    [5000, 9], // enough strips for a larger block to merge
  ] as const;
  describe.each(dtypes)('and %s', (dtype) => {
    it.each(sizes)('with %d tokens and %d dimensions equal draws from logits', async (...size) => {
      const rows = isEmulated(target) ? [1, 9, 70] : [1, 2, 5, 13, 64, 97, 200];
      await onEachVariant(target, (device) => expectDrawsOfLogits(device, size, rows, dtype));
    });

    it('of any number of rows equal draws from logits', async () => {
      const all = Array.from({ length: 64 }, (_, i) => i + 1);
      const few = [2, 7, 8, 16, 17, 32, 33, 63, 64];
      await onDevice(target, (device) =>
        expectDrawsOfLogits(device, [512, 64], isEmulated(target) ? few : all, dtype),
      );
    });

    it('of a tree are the same with and without written logits, softcap and bias', async () => {
      await onDevice(target, async (device) => {
        const [rows, dim, vocab] = [60, 20, 1100];
        const { hidden, weight, bias } = nearTies(device, rows, dim, vocab, dtype);
        // Sixty roots, so that a token is drawn from every row.
        const lengths = Int32Array.from({ length: rows }, (_, r) => r % 9);
        const tree = uploadTrees(
          device,
          Array.from(lengths, (length) => ({ parents: [-1], length })),
        );
        const positions = device.tensor(lengths.map((length) => length + 1));
        const tokens = device.tensor(new Int32Array(rows));
        for (const temperature of [0, 1]) {
          for (const softcap of [0, 0.5, 30]) {
            const draw = async (logitBias: Map<number, number>): Promise<number[]> => {
              const sampling = { temperature, logitBias };
              const result = verifyTree({ hidden, weight, bias, softcap, tokens, tree, sampling });
              return (await readPaths(result, tree)).map((path) => path.tokens[0]!);
            };
            const plain = await takeIndices(
              linearSample(hidden, weight, { bias, softcap, positions, temperature }),
            );
            expect(await draw(new Map())).toEqual(plain);
            expect(await draw(new Map([[5, 0]]))).toEqual(plain);
          }
        }
      });
    });
  });

  it.each(['float32', 'bfloat16', 'float16'] as const)('read a %s unembedding', async (dtype) => {
    await onDevice(target, async (device) => {
      const random = new Random(3);
      const [rows, dim, vocab] = [9, 24, 700];
      const hidden = device.tensor(random.floats(rows * dim), [rows, dim]);
      const values = random.floats(vocab * dim);
      // Multiples of 1/8, which all three types can hold.
      const exact = values.map((w) => Math.round(w * 8) / 8);
      const bits16 = (toBits: (x: number) => number): Uint16Array => Uint16Array.from(exact, toBits);
      const word = new Uint32Array(1);
      const float = new Float32Array(word.buffer);
      const halfBits = (x: number): number => {
        float[0] = x;
        const magnitude = word[0]! & 0x7fffffff;
        return magnitude === 0 ? 0 : ((word[0]! >>> 16) & 0x8000) | ((magnitude >>> 13) - (112 << 10));
      };
      const truncatedBits = (x: number): number => {
        float[0] = x;
        return word[0]! >>> 16;
      };
      const data = { float32: exact, bfloat16: bits16(truncatedBits), float16: bits16(halfBits) }[dtype];
      const weight = device.tensor(data, [vocab, dim], dtype);
      const reference = device.tensor(exact, [vocab, dim]);
      const positions = device.tensor(Int32Array.from({ length: rows }, (_, r) => r));
      for (const temperature of [0, 1]) {
        const expected = await takeIndices(linearSample(hidden, reference, { positions, temperature }));
        for (const each of [weight, packWeight(weight)]) {
          expect(await takeIndices(linearSample(hidden, each, { positions, temperature }))).toEqual(expected);
        }
      }
    });
  });

  it.each([0.5, 5])('with a softcap of %d equal draws from capped logits', async (softcap) => {
    await onDevice(target, async (device) => {
      const random = new Random(8);
      const [states, weights] = [random.floats(100, 3), random.floats(700, 4)];
      const hidden = device.tensor(states, [100, 1]);
      const positions = device.tensor(Int32Array.from(states, (_, r) => r));
      const options = { positions, softcap, temperature: 1, seed: 3 };
      const draws = await takeIndices(linearSample(hidden, device.tensor(weights, [700, 1]), options));
      draws.forEach((token, r) => {
        const logits = weights.map((w) => softcap * Math.tanh(Math.fround(states[r]! * w) / softcap));
        expect([...possibleDraws(logits, r, { temperature: 1, seed: 3 })]).toContain(token);
      });
    });
  });

  it('a softcap can change which logit is largest', async () => {
    await onDevice(target, async (device) => {
      // With the bias both logits are 10.
      const hidden = device.tensor(Float32Array.of(1), [1, 1]);
      const weight = device.tensor(Float32Array.of(10, 9), [2, 1]);
      const bias = device.tensor(Float32Array.of(0, 1));
      // The lower id wins the tie. The cap applies to the sum of product and bias, so the tie remains.
      expect(await takeIndices(linearSample(hidden, weight, { bias }))).toEqual([0]);
      expect(await takeIndices(linearSample(hidden, weight, { bias, softcap: 3 }))).toEqual([0]);
      // Uncapped, the second logit is larger; capped at 1, both are exactly 1.
      const larger = device.tensor(Float32Array.of(100, 200), [2, 1]);
      expect(await takeIndices(linearSample(hidden, larger))).toEqual([1]);
      expect(await takeIndices(linearSample(hidden, larger, { softcap: 1 }))).toEqual([0]);
    });
  });
});
