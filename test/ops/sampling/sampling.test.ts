// Draws from logits: noise, options and edge cases.
import type { SamplingHistory, SamplingOptions } from '../../../lib/tensor/ops/sampling/sampling';
import { chiSquareSigmas, drawMany, drawRows, tally } from '../../support/draws';
import { isEmulated, onDevice, onEachVariant, targets } from '../../support/devices';
import { Random } from '../../support/random';
import { noise, possibleDraws, probabilities } from '../../support/sampling-oracle';

/** Expects each draw to be one that float64 arithmetic allows, and almost all rows to allow only one token. */
function expectPossible(draws: readonly number[], possible: readonly Set<number>[]): void {
  const wrong = draws.findIndex((token, r) => !possible[r]!.has(token));
  expect(wrong < 0 ? [] : [wrong, draws[wrong], [...possible[wrong]!]]).toEqual([]);
  expect(possible.filter(({ size }) => size > 1).length).toBeLessThanOrEqual(1 + draws.length / 100);
}

describe.each(targets)('noise on %s', (target) => {
  // The draw between two tokens flips at the difference of logits that equals the difference of their noise.
  async function expectNoise(seed: number | bigint, position: number, vocab: number): Promise<void> {
    const exact = noise(seed, position, vocab);
    const tolerance = 1e-5;
    const rows: Float32Array[] = [];
    const expected: number[] = [];
    for (let token = 1; token < vocab; token++) {
      for (const side of [-1, 1]) {
        const row = new Float32Array(vocab).fill(-Infinity);
        row[0] = 0;
        row[token] = exact[0]! - exact[token]! + side * tolerance;
        rows.push(row);
        expected.push(side < 0 ? 0 : token);
      }
    }
    const positions = rows.map(() => position);
    await onDevice(target, async (device) => {
      expect(await drawRows(device, rows, positions, { temperature: 1, seed })).toEqual(expected);
    });
  }

  it.each([
    [0, 0],
    [1, 77],
    [2 ** 32 + 5, 123456],
    [0xfedcba9876543210n, 2 ** 31 - 1],
  ])('equals Philox with seed %p at position %d', (seed, position) => expectNoise(seed, position, 150));

  // Found by search: with seed 0, token 4 at the first position has the word 0, token 5 at the second 2^32 - 1.
  it.each([850294815, 4742985])('is right at the ends of the range, position %d', (position) => {
    const ends = noise(0, position, 8);
    expect(Math.max(...ends) > 22.8 || Math.min(...ends) < -3.1).toBe(true);
    return expectNoise(0, position, 8);
  });
});

describe.each(targets)('options on %s', (target) => {
  const history: SamplingHistory = { tokens: [3, 0, 3, 1, 1, 1, 4], promptLength: 2 };
  const alone: SamplingOptions[] = [
    { temperature: 0 },
    { temperature: 0.3 },
    { temperature: 1.7, seed: 9 },
    { topK: 1 },
    { topK: 3 },
    { topK: 1000 },
    { topP: 0 },
    { topP: 0.3 },
    { topP: 0.95 },
    { topP: 0.9999 },
    { minP: 0.01 },
    { minP: 0.5 },
    { minP: 1 },
    { repetitionPenalty: 1.5 },
    { repetitionPenalty: 0.5 },
    { frequencyPenalty: 0.7 },
    { frequencyPenalty: -0.4 },
    { presencePenalty: 1.1 },
    { presencePenalty: -2 },
    {
      logitBias: new Map([
        [0, 3],
        [2, -5],
      ]),
    },
    { logitBias: new Map([[1, -Infinity]]) },
  ].map((options) => ({ temperature: 1, ...options }));
  const together: SamplingOptions = Object.assign({}, ...alone, {
    ...{ temperature: 0.8, seed: 2n ** 63n, topK: 4, topP: 0.9, minP: 0.05 },
    ...{ repetitionPenalty: 1.2, frequencyPenalty: 0.3, presencePenalty: 0.2 },
  }) as SamplingOptions;
  const greedy: SamplingOptions = { ...together, temperature: 0 };

  it.each([6, 31, 32, 200, 1337])('alone and together, with %d tokens', async (vocab) => {
    const random = new Random(vocab);
    const count = vocab > 500 || isEmulated(target) ? 6 : 30;
    await onDevice(target, async (device) => {
      for (const options of [...alone, together, greedy]) {
        const rows = Array.from({ length: count }, () => random.floats(vocab, 6));
        const positions = rows.map(() => random.integer(1 << 30));
        const draws = await drawRows(device, rows, positions, options, history);
        expectPossible(
          draws,
          rows.map((row, r) => possibleDraws(row, positions[r]!, options, history)),
        );
      }
    });
  });

  it('draws in proportion to the probabilities', async () => {
    await onDevice(target, async (device) => {
      const logits = Float32Array.from([1.2, -0.3, 0, 2, -1.5, 0.4, 1.1]);
      for (const options of [{ temperature: 1 }, { temperature: 0.6, topP: 0.9, minP: 0.05 }, together]) {
        const draws = await drawMany(device, logits, isEmulated(target) ? 2000 : 20000, options, history);
        const expected = probabilities(logits, options, history).map((p) => p * draws.length);
        expect(chiSquareSigmas(tally(draws, logits.length), expected)).toBeLessThan(4);
      }
    });
  });

  it('breaks ties in favour of the lowest tokens', async () => {
    await onDevice(target, async (device) => {
      const kept = async (logits: readonly number[], options: SamplingOptions): Promise<number[]> => {
        const draws = await drawMany(device, logits, isEmulated(target) ? 100 : 400, {
          temperature: 1,
          ...options,
        });
        return [...new Set(draws)].sort((a, b) => a - b);
      };
      const level = new Array<number>(10).fill(0.7);
      expect(await kept(level, {})).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
      expect(await kept(level, { topK: 3 })).toEqual([0, 1, 2]);
      expect(await kept(level, { topP: 0.45 })).toEqual([0, 1, 2, 3, 4]);
      expect(await kept(level, { topK: 4, topP: 0.45 })).toEqual([0, 1]);
      expect(await kept(level, { topP: 0 })).toEqual([0]);
      expect(await kept(level, { minP: 1 })).toHaveLength(10);
      expect(await kept([0, 1, -0, 1, 0, 1], { topK: 4 })).toEqual([0, 1, 3, 5]);
      expect(await kept([0, 0, 1, 1, 1], { topK: 2, minP: 0.9 })).toEqual([2, 3]);
      expect(await kept(level, { temperature: 0 })).toEqual([0]);
    });
  });
});

describe.each(targets)('edges on %s', (target) => {
  const [inf, nan] = [Infinity, NaN];
  const ways: SamplingOptions[] = [
    { temperature: 0 },
    { temperature: 1 },
    { temperature: 0.5, topK: 2 },
    { temperature: 1, topP: 0.5 },
    { temperature: 1, minP: 0.3 },
    { temperature: 1, topK: 3, topP: 0.9, minP: 0.1, logitBias: new Map([[0, 0]]) },
  ];
  const cases: [string, number[], number[]][] = [
    ['one number among NaN', [nan, nan, -300, nan, nan], [2]],
    ['one number among -inf', [-inf, -inf, -inf, -1e30, -inf], [3]],
    ['+inf', [1, 2, inf, 5], [2]],
    ['two of +inf', [1, nan, inf, inf], [2]],
    ['a single token', [-4], [0]],
    ['logits beyond 1e4', [1e4, 2e4, 3e4, -1e4], [2]],
    ['the largest floats', [3.4e38, -3.4e38], [0]],
  ];
  it.each(cases)('%s', async (_, logits, expected) => {
    await onDevice(target, async (device) => {
      // Also at the beginning and at the end of a long row.
      const padding = new Array<number>(600).fill(-inf);
      for (const options of ways) {
        expect(new Set(await drawMany(device, logits, 20, options))).toEqual(new Set(expected));
        const wide = new Set(await drawMany(device, [...logits, ...padding], 5, options));
        expect(wide).toEqual(new Set(expected));
        const last = new Set(await drawMany(device, [...padding, ...logits], 5, options));
        expect(last).toEqual(new Set(expected.map((token) => 600 + token)));
      }
    });
  });
});

it.each(targets)('draws the same tokens with any number of threads on %s', async (target) => {
  const random = new Random(4);
  const rows = Array.from({ length: isEmulated(target) ? 10 : 40 }, () => random.floats(3000, 5));
  const positions = rows.map((_, r) => r);
  for (const options of [{ temperature: 1 }, { temperature: 1, topP: 0.9, topK: 50 }]) {
    let first: number[] | undefined;
    await onEachVariant(target, async (device) => {
      const draws = await drawRows(device, rows, positions, options);
      first ??= draws;
      expect(draws).toEqual(first);
    });
  }
});

it('handles a vocabulary of 151936 tokens', async () => {
  const vocab = targets.includes('cuda-checked') ? 9001 : 151936;
  const random = new Random(6);
  const rows = [random.floats(vocab, 8), random.floats(vocab, 0.01)];
  for (const options of [{}, { topP: 0.9 }, { topK: 5000, topP: 0.99, minP: 1e-4 }]) {
    const sampling = { temperature: 1, seed: 3, ...options };
    const possible = rows.map((row, r) => possibleDraws(row, 10 + r, sampling));
    for (const target of targets) {
      expectPossible(
        await onDevice(target, (device) => drawRows(device, rows, [10, 11], sampling)),
        possible,
      );
    }
  }
});
