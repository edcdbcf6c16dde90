// Unembedding and draw in one: to the bit what the logits themselves would give, for any number of rows.
import type { Device } from '../../lib/tensor/device';
import { linear, packWeight } from '../../lib/tensor/ops/linear';
import { linearSample, sampleLogits } from '../../lib/tensor/ops/sampling';
import { uploadTrees } from '../../lib/tensor/ops/tree-rows';
import { readPaths, verifyTree } from '../../lib/tensor/ops/verify-tree';
import type { Tensor } from '../../lib/tensor/tensor';
import { isaLevels, onCpu } from '../support/cpu';
import { takeIndices } from '../support/draws';
import { Random } from '../support/random';
import { possibleDraws } from '../support/sampling-oracle';

interface Problem {
  hidden: Tensor;
  weight: Tensor;
  bias: Tensor;
  positions: Tensor;
}

/**
 * Hidden states and an unembedding of which neighbouring tokens differ by the last bits of their logits, so that sums in
 * another order would draw other tokens.
 */
function nearTies(device: Device, rows: number, dim: number, vocab: number): Problem {
  const random = new Random(rows * vocab);
  const weights = random.floats(vocab * dim);
  for (let token = 3; token < vocab; token++) {
    const twin = weights.subarray((token - 3) * dim, (token - 2) * dim);
    const own = weights.subarray(token * dim, (token + 1) * dim);
    if (token % 7 === 0) own.set(twin);
    if (token % 5 === 0) own.set(twin.map((w) => w * (1 + 2 ** -23)));
  }
  return {
    hidden: device.tensor(random.floats(rows * dim), [rows, dim]),
    weight: device.tensor(weights, [vocab, dim]),
    bias: device.tensor(random.floats(vocab, 1e-6)),
    positions: device.tensor(Int32Array.from({ length: rows }, () => random.integer(6))),
  };
}

describe.each(isaLevels)('fused draws on %s', (isa) => {
  const few = [1, 2, 5, 13, 64, 97, 200];
  const all = Array.from({ length: 64 }, (_, i) => i + 1);
  it.each([
    [1, 1, few, 1],
    [31, 3, few, 1],
    [512, 64, all, 1],
    [512, 64, few, 3],
    [1500, 37, few, 1],
    [1500, 37, few, 2],
  ])('of %d tokens and %d dimensions are those of the logits', async (vocab, dim, rowCounts, threads) => {
    await onCpu({ isa, threads }, async (device) => {
      for (const temperature of [0, 0.7]) {
        const { hidden, weight, bias, positions } = nearTies(device, 200, dim, vocab);
        const seed = 2n ** 33n;
        const logits = linear(hidden, weight, bias);
        const expected = await takeIndices(sampleLogits(logits, positions, { temperature, seed }));
        if (vocab > 100) expect(new Set(expected).size).toBeGreaterThan(50);
        const packed = packWeight(weight);
        const draws = rowCounts.flatMap((rows) =>
          [weight, packed].map((unembedding) => {
            const at = positions.view(0, [rows]);
            const drawn = linearSample(hidden.view(0, [rows, dim]), unembedding, {
              bias,
              positions: at,
              temperature,
              seed,
            });
            return takeIndices(drawn);
          }),
        );
        for (const drawn of await Promise.all(draws)) expect(drawn).toEqual(expected.slice(0, drawn.length));
      }
    });
  });

  it.each(['float32', 'bfloat16', 'float16'] as const)('read a %s unembedding', async (dtype) => {
    await onCpu({ isa, threads: 2 }, async (device) => {
      const random = new Random(3);
      const [rows, dim, vocab] = [9, 24, 700];
      const hidden = device.tensor(random.floats(rows * dim), [rows, dim]);
      const values = random.floats(vocab * dim);
      // Numbers that all three types hold: whole steps of 1/8.
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

  it.each([0.5, 5])('with a softcap of %d are those of the capped logits', async (softcap) => {
    await onCpu({ isa, threads: 2 }, async (device) => {
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

  it('of a tree are the same with and without its logits written, with a softcap and a bias', async () => {
    await onCpu({ isa, threads: 2 }, async (device) => {
      const [rows, dim, vocab] = [60, 20, 1100];
      const { hidden, weight, bias } = nearTies(device, rows, dim, vocab);
      // Sixty roots, so that every row is drawn.
      const tree = uploadTrees(
        device,
        Array.from({ length: rows }, (_, r) => ({ parents: [-1], length: r % 9 })),
      );
      const tokens = device.tensor(new Int32Array(rows));
      for (const temperature of [0, 1]) {
        for (const softcap of [0, 0.5, 30]) {
          const draw = async (logitBias: Map<number, number>): Promise<number[]> => {
            const sampling = { temperature, logitBias };
            const result = verifyTree({ hidden, weight, bias, softcap, tokens, tree, sampling });
            return (await readPaths(result, tree)).map((path) => path.tokens[0]!);
          };
          expect(await draw(new Map())).toEqual(await draw(new Map([[5, 0]])));
        }
      }
    });
  });
});

it('a softcap changes draws as it should', async () => {
  await onCpu({}, async (device) => {
    // tanh flattens the first logit below what noise-free order would need; with a bias it decides.
    const hidden = device.tensor(Float32Array.of(1), [1, 1]);
    const weight = device.tensor(Float32Array.of(10, 9), [2, 1]);
    const bias = device.tensor(Float32Array.of(0, 1));
    // 10 and 10 tie; capped they still do; a smaller bias leaves the first one ahead.
    expect(await takeIndices(linearSample(hidden, weight, { bias }))).toEqual([0]);
    expect(await takeIndices(linearSample(hidden, weight, { bias, softcap: 3 }))).toEqual([0]);
    // Capped at 1 both are 1 to the last bit; uncapped the second one is larger.
    const larger = device.tensor(Float32Array.of(100, 200), [2, 1]);
    expect(await takeIndices(linearSample(hidden, larger))).toEqual([1]);
    expect(await takeIndices(linearSample(hidden, larger, { softcap: 1 }))).toEqual([0]);
  });
});
