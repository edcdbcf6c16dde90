// No token is drawn from rows of logits that are all NaN or -Infinity, and the next readback reports the row.
import type { Device } from '../../../lib/tensor/device';
import { linearSample, sampleLogits, type SamplingOptions } from '../../../lib/tensor/ops/sampling/sampling';
import type { AcceptedPath } from '../../../lib/tensor/ops/sampling/verify-tree';
import { onDevice, onEachVariant, targets } from '../../support/devices';
import { drawRows, takeIndices } from '../../support/draws';
import { foretokenError } from '../../support/errors';
import { Random } from '../../support/random';
import { verifyTrees, type TokenTree } from '../../support/trees';

const [inf, nan] = [Infinity, NaN];

const ways: SamplingOptions[] = [
  { temperature: 0 },
  { temperature: 1 },
  { temperature: 0.5, topK: 2 },
  { temperature: 1, topP: 0.5 },
  { temperature: 1, minP: 0.3 },
  { temperature: 0, logitBias: new Map([[0, 0]]) },
  { temperature: 1, topK: 3, topP: 0.9, minP: 0.1, logitBias: new Map([[0, 0]]) },
];

/** The error that names a row and the position of its token. */
function nothingToDraw(op: string, row: number, position?: number): Error {
  const place = position === undefined ? '' : ` for position ${position}`;
  const message = `${op}: no token can be drawn${place}: the logits of row ${row} are not numbers`;
  return foretokenError('DIVERGED', message, 'all are NaN or -Infinity');
}

describe.each(targets)('on %s', (target) => {
  it.each([
    ['NaN', [nan, nan, nan, nan]],
    ['-inf', [-inf, -inf, -inf, -inf]],
    ['NaN and -inf', [nan, -inf, nan, -inf]],
  ])('no token is drawn from logits of %s', async (_, bad) => {
    await onDevice(target, async (device) => {
      const good = [1, 4, 2, 3];
      for (const width of [4, 600, 5000]) {
        const [padded, fine] = [bad, good].map((row) => [
          ...row,
          ...new Array<number>(width - 4).fill(-inf),
        ]) as [number[], number[]];
        for (const options of ways) {
          const rows = [fine, fine, padded, fine, padded];
          await expect(drawRows(device, rows, [5, 6, 70, 8, 9], options)).rejects.toEqual(
            nothingToDraw('sampleLogits', 2, 70),
          );
        }
        // The error is reported once; then the device draws.
        expect(await drawRows(device, [fine], [1], { temperature: 0 })).toEqual([1]);
      }
    });
  });

  it('no token is drawn if a bias excludes all of them', async () => {
    await onDevice(target, async (device) => {
      const logitBias = new Map([0, 1, 2].map((token) => [token, -inf]));
      for (const options of ways) {
        const drawn = drawRows(device, [[1, 2, 3]], [4], { ...options, logitBias });
        await expect(drawn).rejects.toEqual(nothingToDraw('sampleLogits', 0, 4));
      }
    });
  });

  /** Draws from four rows of hidden states, some of which contain NaN. */
  async function drawFused(
    device: Device,
    vocab: number,
    broken: readonly number[],
    temperature: number,
    positions?: readonly number[],
  ): Promise<number[]> {
    const random = new Random(vocab);
    const [rows, dim] = [4, 8];
    const states = random.floats(rows * dim);
    for (const row of broken) states[row * dim + 3] = nan;
    using hidden = device.tensor(states, [rows, dim]);
    using weight = device.tensor(random.floats(vocab * dim), [vocab, dim]);
    using at = positions && device.tensor(Int32Array.from(positions));
    return await takeIndices(linearSample(hidden, weight, { temperature, positions: at }));
  }

  it.each([3, 700, 9000])('no token of %d is drawn from hidden states of NaN', async (vocab) => {
    await onEachVariant(target, async (device) => {
      const whole = await drawFused(device, vocab, [], 0);
      await expect(drawFused(device, vocab, [2, 3], 0)).rejects.toEqual(nothingToDraw('linearSample', 2));
      const drawn = drawFused(device, vocab, [1, 3], 1, [7, 30, 9, 10]);
      await expect(drawn).rejects.toEqual(nothingToDraw('linearSample', 1, 30));
      expect(await drawFused(device, vocab, [], 0)).toEqual(whole);
    });
  });

  it('draws from the other rows stay valid', async () => {
    await onDevice(target, async (device) => {
      using logits = device.tensor(Float32Array.of(nan, nan, 1, 2), [2, 2]);
      using positions = device.tensor(Int32Array.of(0, 1));
      using tokens = sampleLogits(logits, positions);
      await expect(tokens.data()).rejects.toEqual(nothingToDraw('sampleLogits', 0, 0));
      expect(Array.from(await tokens.data())).toEqual([-1, 1]);
    });
  });

  describe.each(ways)('a tree verified with %j', (options) => {
    const draws = (token: number): number[] => [0, 1, 2, 3].map((each) => (each === token ? 100 : 0));
    const nothing = [nan, nan, nan, nan];
    const tree = (logits: readonly number[][], length = 3): TokenTree => ({
      parents: [-1, 0, 0, 2],
      tokens: [0, 1, 3, 2],
      length,
      logits: [...logits],
    });
    const verify = (...trees: readonly TokenTree[]): Promise<AcceptedPath[]> =>
      onDevice(target, (device) => verifyTrees(device, trees, options));
    const good = tree([3, 0, 2, 1].map(draws));

    it('ignores nodes outside the path', async () => {
      expect(await verify(tree([draws(3), nothing, draws(1), nothing]))).toEqual([
        { nodes: [0, 2], tokens: [3, 1] },
      ]);
    });

    it('ends before a node from which nothing can be drawn', async () => {
      const first = tree([draws(3), draws(0), nothing, draws(1)]);
      const second = tree([draws(3), draws(0), draws(2), nothing]);
      expect(await verify(first)).toEqual([{ nodes: [0], tokens: [3] }]);
      expect(await verify(first, good, second)).toEqual([
        { nodes: [0], tokens: [3] },
        { nodes: [0, 2, 3], tokens: [3, 2, 1] },
        { nodes: [0, 2], tokens: [3, 2] },
      ]);
    });

    it('commits no token at a root from which nothing can be drawn, if that is allowed', async () => {
      const bad = tree([nothing, draws(1), draws(1), draws(1)], 40);
      const paths = await onDevice(target, (device) =>
        verifyTrees(device, [good, bad, good], options, undefined, undefined, { allowsNoToken: true }),
      );
      expect(paths).toEqual([
        { nodes: [0, 2, 3], tokens: [3, 2, 1] },
        { nodes: [], tokens: [] },
        { nodes: [0, 2, 3], tokens: [3, 2, 1] },
      ]);
    });

    it('names the first root from which nothing can be drawn', async () => {
      const bad = tree([nothing, draws(1), draws(1), draws(1)], 40);
      await expect(verify(bad)).rejects.toEqual(nothingToDraw('verifyTree', 0, 41));
      await expect(verify(good, bad, good, tree([nothing, nothing, nothing, nothing]))).rejects.toEqual(
        nothingToDraw('verifyTree', 4, 41),
      );
    });
  });
});
