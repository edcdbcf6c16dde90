// proposeTokens against float64 arithmetic with the noise of the draws, and against the draws themselves.
import type { ErrorCode } from '../../../lib/errors';
import type { Device } from '../../../lib/tensor/device';
import { linear } from '../../../lib/tensor/ops/linear/linear';
import { proposeTokens } from '../../../lib/tensor/ops/sampling/propose-tokens';
import { linearSample, sampleLogits, type SamplingOptions } from '../../../lib/tensor/ops/sampling/sampling';
import { noGrad } from '../../../lib/tensor/autograd';
import { scope } from '../../../lib/tensor/scope';
import type { Tensor } from '../../../lib/tensor/tensor';
import { onCpu, take } from '../../support/cpu';
import { isEmulated, onDevice, onEachVariant, targets } from '../../support/devices';
import { takeIndices } from '../../support/draws';
import { foretokenError } from '../../support/errors';
import { memoize } from '../../support/memoize';
import { Random } from '../../support/random';
import { noise } from '../../support/sampling-oracle';

const [inf, nan] = [Infinity, NaN];

/** Proposals for one row. */
interface Proposal {
  tokens: number[];
  weights: number[];
}

async function proposed(
  device: Device,
  rows: readonly ArrayLike<number>[],
  positions: readonly number[],
  sampling: SamplingOptions | readonly SamplingOptions[],
  k: number,
  ids?: readonly number[],
): Promise<Proposal[]> {
  const vocab = rows[0]!.length;
  const flat = new Float32Array(rows.length * vocab);
  rows.forEach((row, r) => flat.set(row, r * vocab));
  const { tokens, weights } = scope(() =>
    proposeTokens(device.tensor(flat, [rows.length, vocab]), {
      positions: device.tensor(Int32Array.from(positions)),
      ...{ sampling, k },
      ids: ids && device.tensor(Int32Array.from(ids)),
    }),
  );
  expect([tokens.shape, weights.shape]).toEqual([
    [rows.length, k],
    [rows.length, k],
  ]);
  const [chosen, shares] = await Promise.all([takeIndices(tokens), take(weights)]);
  return rows.map((_, r) => ({
    tokens: chosen.slice(r * k, (r + 1) * k),
    weights: Array.from(shares.subarray(r * k, (r + 1) * k)),
  }));
}

/** The numbers that draws compare, in float64, and their softmax. */
const oracle = memoize((logits: ArrayLike<number>, position: number, options: SamplingOptions) => {
  const { temperature = 0, seed = 0, logitBias } = options;
  const z = Array.from(logits, (x, token) => x + (logitBias?.get(token) ?? 0));
  const g = temperature > 0 ? noise(seed, position, z.length) : [];
  const scores = temperature > 0 ? z.map((x, token) => x / temperature + g[token]!) : z;
  const top = scores.reduce((a, b) => Math.max(a, b));
  const terms = scores.map((x) => Math.exp(x - top));
  const total = terms.reduce((a, b) => a + b);
  const ranked = scores.map((_, token) => token).sort((a, b) => scores[b]! - scores[a]! || a - b);
  return { scores, ranked, weights: terms.map((term) => term / total) };
});

/** Expects the best tokens in their order, except where float32 cannot tell their scores apart, and their weights. */
function expectProposal(
  { tokens, weights }: Proposal,
  logits: ArrayLike<number>,
  position: number,
  options: SamplingOptions,
): void {
  const expected = oracle(logits, position, options);
  expect(new Set(tokens).size).toBe(tokens.length);
  tokens.forEach((token, i) => {
    const [score, best] = [expected.scores[token]!, expected.scores[expected.ranked[i]!]!];
    const slack = options.temperature ? 1e-5 * (1 + Math.abs(best)) : 0;
    if (!(Math.abs(score - best) <= slack)) expect({ i, token }).toEqual({ i, token: expected.ranked[i] });
    const weight = expected.weights[token]!;
    if (!(Math.abs(weights[i]! - weight) <= 1e-4 * weight + 1e-37)) expect(weights[i]).toBe(weight);
  });
}

const ways: SamplingOptions[] = [
  {},
  { temperature: 1 },
  { temperature: 0.7, seed: 5 },
  { temperature: 3, seed: 2n ** 63n + 1n },
  { temperature: 0.5, logitBias: new Map([[0, 8]]) },
];

describe.each(targets)('on %s', (target) => {
  it.each([1, 2, 7, 33, 255, 257, 1000, 4097, 16_385, 40_001])('of a vocabulary of %i', async (vocab) => {
    if (isEmulated(target) && vocab > 4097) return;
    const random = new Random(vocab);
    const rows = [0, 1, 2].map(() => random.floats(vocab, 8));
    const positions = [0, 7, 1_000_000];
    await onDevice(target, async (device) => {
      for (const options of ways) {
        for (const k of [1, 4, 9, 70, vocab].filter((k) => k <= Math.min(vocab, 2000))) {
          const proposals = await proposed(device, rows, positions, options, k);
          proposals.forEach((each, r) => expectProposal(each, rows[r]!, positions[r]!, options));
        }
      }
    });
  });

  it('of equal logits the lowest tokens are proposed, with equal weights', async () => {
    await onDevice(target, async (device) => {
      const rows = [5, 600, 20_000].map((vocab) => new Float32Array(vocab).fill(3));
      for (const row of rows.slice(0, isEmulated(target) ? 2 : 3)) {
        const [proposal] = await proposed(device, [row], [0], {}, 3);
        expect(proposal!.tokens).toEqual([0, 1, 2]);
        for (const weight of proposal!.weights) expect(weight).toBe(Math.fround(1 / row.length));
      }
    });
  });

  it('no thread and no schedule changes a bit', async () => {
    const random = new Random(3);
    const vocab = isEmulated(target) ? 5000 : 50_000;
    const rows = [0, 1].map(() => random.floats(vocab, 6));
    let first: Proposal[] | undefined;
    await onEachVariant(target, async (device) => {
      const proposals = await proposed(device, rows, [4, 5], { temperature: 1, seed: 9 }, 6);
      expect(proposals).toEqual((first ??= proposals));
    });
  });

  it('the first token is the one that a draw with the same seed and position takes', async () => {
    await onDevice(target, async (device) => {
      const random = new Random(4);
      const [count, dim, vocab] = [12, 16, 900];
      using hidden = device.tensor(random.floats(count * dim), [count, dim]);
      using weight = device.tensor(random.floats(vocab * dim), [vocab, dim]);
      using logits = noGrad(() => linear(hidden, weight));
      using positions = device.tensor(Int32Array.from({ length: count }, (_, i) => 3 * i));
      const first = async (sampling: SamplingOptions): Promise<number[]> => {
        const { tokens, weights } = proposeTokens(logits, { positions, sampling, k: 1 });
        weights.dispose();
        return takeIndices(tokens);
      };
      for (const temperature of [0, 0.3, 1, 5]) {
        for (const seed of [0, 77]) {
          const options = { temperature, seed };
          const drawn = linearSample(hidden, weight, { ...options, positions });
          expect(await first(options)).toEqual(await takeIndices(drawn));
        }
      }
      const biased = {
        temperature: 2,
        logitBias: new Map([
          [3, 4],
          [5, -inf],
        ]),
      };
      expect(await first(biased)).toEqual(await takeIndices(sampleLogits(logits, positions, biased)));
    });
  });

  it('every sequence has its own options and positions, and gets what it gets alone', async () => {
    await onDevice(target, async (device) => {
      const random = new Random(5);
      const depth = 3;
      const rows = ways.flatMap(() => [0, 1, 2].map(() => random.floats(333, 5)));
      const positions = ways.map((_, s) => 10 + 7 * s);
      const together = await proposed(device, rows, positions, ways, 5);
      for (const [s, options] of ways.entries()) {
        const own = <T>(all: readonly T[]): T[] => all.slice(s * depth, (s + 1) * depth);
        expect(await proposed(device, own(rows), [positions[s]!], options, 5)).toEqual(own(together));
        own(together).forEach((each, i) => expectProposal(each, own(rows)[i]!, positions[s]! + i, options));
      }
    });
  });

  // Around the vectors of the noise, the blocks and parts of columns, and with neighbours that share random words.
  it.each([1, 2, 3, 15, 16, 17, 255, 257, 1000, 4097, 16_385, 17_000])(
    'of %i tokens of a vocabulary, with the noise and the biases of these tokens',
    async (count) => {
      if (isEmulated(target) && count > 4097) return;
      const random = new Random(count);
      const vocab = 3 * count + 5;
      const all = random.floats(vocab, 8);
      const ids = Array.from({ length: vocab }, (_, token) => token)
        .filter((token) => token % 3 === 0 || token < 9)
        .slice(-count);
      const columns = ids.map((token) => all[token]!);
      const biased = new Map([
        [ids.at(-1)!, 6],
        [ids[0]!, -50],
        [1, 50],
        [vocab - 1, 50],
      ]);
      await onDevice(target, async (device) => {
        for (const options of [...ways, { temperature: 0.9, seed: 8, logitBias: biased }]) {
          // The scores of the whole vocabulary; those of other tokens take no part.
          const row = Float32Array.from(all).fill(-inf);
          ids.forEach((token) => (row[token] = all[token]!));
          for (const k of [1, 5, 70, count].filter((k) => k <= Math.min(count, 2000))) {
            const [proposal] = await proposed(device, [columns], [77], options, k, ids);
            expectProposal(proposal!, row, 77, options);
            for (const token of proposal!.tokens) expect(ids).toContain(token);
          }
        }
      });
    },
  );

  it('of all tokens by their ids proposes what it proposes without', async () => {
    await onDevice(target, async (device) => {
      const rows = [0, 1].map((seed) => new Random(seed).floats(700, 4));
      const ids = Array.from({ length: 700 }, (_, token) => token);
      for (const options of ways) {
        const plain = await proposed(device, rows, [3, 900], options, 20);
        expect(await proposed(device, rows, [3, 900], options, 20, ids)).toEqual(plain);
      }
    });
  });

  it('proposes for the positions ahead', async () => {
    await onDevice(target, async (device) => {
      const logits = device.tensor(new Random(9).floats(2 * 50, 2), [2, 50]);
      const sampling = { temperature: 1, seed: 3 };
      const at = (position: number, ahead?: number): Promise<number[]> =>
        takeIndices(
          proposeTokens(logits, { positions: device.tensor(Int32Array.of(position)), ahead, sampling, k: 4 })
            .tokens,
        );
      expect(await at(7, 5)).toEqual(await at(12));
      expect(await at(7, 5)).not.toEqual(await at(7));
    });
  });

  it('numbers come before what is not a number, and weights are numbers', async () => {
    await onDevice(target, async (device) => {
      for (const width of [4, 600, 5000]) {
        for (const options of [{}, { temperature: 1 }]) {
          const row = (...values: number[]): number[] => [
            ...values,
            ...new Array<number>(width - values.length).fill(-inf),
          ];
          const [some, none, infinite] = await proposed(
            device,
            [row(nan, 2, nan, 9), row(nan, -inf, nan, nan), row(1, inf, nan, inf)],
            [1, 2, 3],
            options,
            4,
          );
          expect(some!.tokens.slice(0, 2).sort()).toEqual([1, 3]);
          expect(some!.tokens.slice(2)).toEqual([0, 2]);
          expect(some!.weights.slice(2)).toEqual([0, 0]);
          expect(some!.weights[0]! + some!.weights[1]!).toBeCloseTo(1, 6);
          expect(none).toEqual({ tokens: [0, 1, 2, 3], weights: [0, 0, 0, 0] });
          expect(infinite).toEqual({ tokens: [1, 3, 0, 2], weights: [0.5, 0.5, 0, 0] });
        }
      }
    });
  });
});

describe('refusals', () => {
  const ints = (device: Device, ...values: number[]): Tensor => device.tensor(Int32Array.from(values));

  it.each([-1, 6, 1.5])('k = %d of 5 tokens', async (k) => {
    await onCpu({}, async (device) => {
      const positions = ints(device, 0, 0);
      expect(() => proposeTokens(device.zeros([2, 5]), { positions, k })).toThrow(
        foretokenError('INVALID_ARGUMENT', 'proposeTokens: k must be'),
      );
    });
  });
  it.each<[ids: number[], code: ErrorCode, parts: string[]]>([
    [[0, 1], 'SHAPE_MISMATCH', ['ids is [2]', '[3]']],
    [[0, 2, 2], 'INDEX_OUT_OF_RANGE', ['ids must rise', 'ids[2] is 2']],
    [[-1, 2, 4], 'INDEX_OUT_OF_RANGE', ['ids must rise', 'ids[0] is -1']],
  ])('ids %j of three columns', async (ids, code, parts) => {
    await onCpu({}, async (device) => {
      const options = { positions: ints(device, 0), ids: ints(device, ...ids), k: 1 };
      expect(() => proposeTokens(device.zeros([1, 3]), options)).toThrow(
        foretokenError(code, 'proposeTokens', ...parts),
      );
    });
  });

  it('shapes', async () => {
    await onCpu({}, async (device) => {
      const [logits, positions, k] = [device.zeros([3, 5]), ints(device, 0, 1, 2), 1];
      const refused = (fn: () => unknown, ...parts: string[]): void =>
        expect(fn).toThrow(foretokenError('SHAPE_MISMATCH', 'proposeTokens', ...parts));
      refused(() => proposeTokens(device.zeros([3]), { positions, k }), 'logits is [3]');
      refused(() => proposeTokens(logits, { positions: ints(device, 0, 1), k }), '3 rows', '2 sequences');
      const sampling = [{}, { temperature: 1 }];
      refused(
        () => proposeTokens(logits, { positions, k, sampling }),
        'sampling is [2, 10]',
        '[3 or more, 10]',
      );
    });
  });
});
