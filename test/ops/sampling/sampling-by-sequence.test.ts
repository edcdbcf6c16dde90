// Each sequence of a call draws by its own options: to the bit the tokens that it draws alone, with options that are given,
// packed, or rewritten between the replays of a capture.
import { capture } from '../../../lib/tensor/capture';
import type { Device } from '../../../lib/tensor/device';
import { packSampling, type DeviceSampling } from '../../../lib/tensor/ops/sampling/device-sampling';
import type { SamplingOptions } from '../../../lib/tensor/ops/sampling/sampling';
import type { TreeRows } from '../../../lib/tensor/ops/attention/kv-cache';
import { uploadTrees } from '../../../lib/tensor/ops/attention/tree-rows';
import {
  readPaths,
  verifyTree,
  type AcceptedPath,
  type VerifyTreeResult,
} from '../../../lib/tensor/ops/sampling/verify-tree';
import { onCpu } from '../../support/cpu';
import { onDevice, onEachVariant, targets } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { Random } from '../../support/random';
import { randomTree, verifyTrees, type TokenTree } from '../../support/trees';

/** Options whose draws are running argmaxes. Two have the same seed, and two the same temperature. */
const argmaxes: SamplingOptions[] = [
  { temperature: 0.8, seed: 1 },
  { temperature: 0 },
  { temperature: 0.8, seed: 2n ** 63n + 1n },
  { temperature: 3, seed: 1 },
];

const others: SamplingOptions[] = [
  { temperature: 1, topK: 3, seed: 4 },
  { temperature: 1, topP: 0.7, seed: 4 },
  { temperature: 1.5, minP: 0.2, seed: 5 },
  { temperature: 0, logitBias: new Map([[1, 2.5]]) },
  {
    temperature: 1,
    logitBias: new Map([
      [4, -Infinity],
      [0, 1.5],
      [2, -2],
    ]),
  },
  { temperature: 0, repetitionPenalty: 3 },
  { temperature: 1, frequencyPenalty: 0.8, presencePenalty: -1, seed: 9 },
];

const mixed = [...argmaxes, ...others];

/** A tree for each sequence, all at the same positions. */
function treesFor(options: readonly unknown[], vocab: number, random: Random): TokenTree[] {
  return options.map(() => {
    const nodes = 1 + random.integer(12);
    const text = Array.from({ length: 6 }, () => random.integer(vocab));
    const tree = randomTree(random, nodes, Math.min(vocab, 4));
    tree.tokens[0] = text.at(-1)!;
    const logits = Array.from({ length: nodes }, () => random.floats(vocab, 2));
    return { ...tree, length: 5, logits, history: { tokens: text, promptLength: 3 } };
  });
}

async function alone(
  device: Device,
  trees: readonly TokenTree[],
  options: readonly SamplingOptions[],
): Promise<AcceptedPath[]> {
  const paths: AcceptedPath[] = [];
  for (const [i, tree] of trees.entries()) paths.push(...(await verifyTrees(device, [tree], options[i])));
  return paths;
}

describe.each(targets)('on %s', (target) => {
  it.each([
    ['two argmaxes', argmaxes.slice(0, 2), 7],
    ['argmaxes', argmaxes, 7],
    ['argmaxes over many tokens', argmaxes, 200],
    ['others', others, 7],
    ['every kind', mixed, 7],
    ['every kind over many tokens', mixed, 200],
  ] as const)('%s draw as alone', async (_, options, vocab) => {
    await onEachVariant(target, async (device) => {
      const random = new Random(vocab);
      let accepted = 0;
      for (let round = 0; round < 24 / options.length; round++) {
        const trees = treesFor(options, vocab, random);
        const expected = await alone(device, trees, options);
        expect(await verifyTrees(device, trees, options)).toEqual(expected);
        using packed = packSampling(device, options);
        expect(await verifyTrees(device, trees, packed)).toEqual(expected);
        accepted += expected.reduce((sum, { nodes }) => sum + nodes.length - 1, 0);
      }
      if (vocab < 10) expect(accepted).toBeGreaterThan(0);
    });
  });

  it('a replay draws by the options that were written last', async () => {
    await onDevice(target, async (device) => {
      const [random, vocab] = [new Random(3), 7];
      const first = [others[3]!, others[5]!, argmaxes[0]!];
      const trees = treesFor(first, vocab, random);
      using packed = packSampling(device, first, { biasRoom: 3 });
      const result = captured(device, trees, packed);
      const replayed = async (): Promise<AcceptedPath[]> => {
        result.replay();
        return readPaths(result.result, result.tree);
      };
      expect(await replayed()).toEqual(await alone(device, trees, first));
      // A longer bias, no bias, other seeds; and back.
      for (const options of [
        [others[4]!, argmaxes[3]!, others[6]!],
        [argmaxes[2]!, others[3]!, others[4]!],
        first,
      ]) {
        options.forEach((each, sequence) => packed.write(sequence, each));
        expect(await replayed()).toEqual(await alone(device, trees, options));
      }
      result.dispose();
    });
  });

  it('numbers on the device that are out of range turn their options off', async () => {
    await onDevice(target, async (device) => {
      const [random, nan] = [new Random(5), 0x7fc00000];
      const bits = (x: number): number => new Int32Array(Float32Array.of(x).buffer)[0]!;
      const one = bits(1);
      const defaults = [bits(0), 0, one, bits(0), one, bits(0), bits(0), 9, 0, 0];
      const change = (...changes: readonly (readonly [number, number])[]): number[] => {
        const words = [...defaults];
        for (const [place, word] of changes) words[place] = word;
        return words;
      };
      const cases: [number[], SamplingOptions][] = [
        [change([0, nan]), {}],
        [change([0, bits(-1)]), {}],
        [change([0, bits(Infinity)]), {}],
        [change([0, bits(1e-30)]), {}],
        [change([0, one], [1, -3]), { temperature: 1, seed: 9 }],
        [change([0, one], [1, 2 ** 31 - 1]), { temperature: 1, seed: 9 }],
        [change([0, one], [2, nan]), { temperature: 1, seed: 9 }],
        [change([0, one], [2, bits(-1)]), { temperature: 1, seed: 9 }],
        [change([0, one], [3, nan]), { temperature: 1, seed: 9 }],
        [change([0, one], [3, bits(7)]), { temperature: 1, seed: 9 }],
        [change([4, nan], [5, nan], [6, nan]), {}],
        [change([4, bits(0)], [5, bits(-Infinity)], [6, bits(3e38)]), {}],
        [change([9, -1]), {}],
        [change([9, 2 ** 31 - 1]), {}],
      ];
      const trees = treesFor(cases, 7, random);
      using packed = packSampling(device, new Array<SamplingOptions>(cases.length).fill(others[5]!), {
        biasRoom: 2,
      });
      packed.numbers.write(Int32Array.from(cases.flatMap(([words]) => words)));
      expect(await verifyTrees(device, trees, packed)).toEqual(
        await alone(
          device,
          trees,
          cases.map(([, options]) => options),
        ),
      );
    });
  });

  it('any bits on the device draw tokens of the vocabulary', async () => {
    await onDevice(target, async (device) => {
      const random = new Random(6);
      for (let round = 0; round < 20; round++) {
        const trees = treesFor(mixed, 7, random);
        using packed = packSampling(device, mixed);
        const word = (): number => random.integer(2 ** 16) * 2 ** 16 + random.integer(2 ** 16);
        packed.numbers.write(Int32Array.from({ length: packed.numbers.size }, () => word() | 0));
        packed.biasValues!.write(Float32Array.from({ length: packed.biasValues!.size }, () => 1e30));
        for (const { tokens } of await verifyTrees(device, trees, packed)) {
          for (const token of tokens) expect([0, 1, 2, 3, 4, 5, 6]).toContain(token);
        }
      }
    });
  });

  it('a biased token out of range is reported', async () => {
    await onDevice(target, async (device) => {
      const trees = treesFor([0, 1], 7, new Random(8));
      using packed = packSampling(device, [{}, { logitBias: new Map([[7, 1]]) }]);
      await expect(verifyTrees(device, trees, packed)).rejects.toEqual(
        foretokenError('INDEX_OUT_OF_RANGE', 'verifyTree: logitBias[0] is 7, but must be in 0 … 6'),
      );
      packed.write(1, {});
      await verifyTrees(device, trees, packed);
    });
  });
});

/** Captures the verification of some trees. */
function captured(
  device: Device,
  trees: readonly TokenTree[],
  sampling: DeviceSampling,
): {
  replay: () => void;
  result: VerifyTreeResult;
  tree: TreeRows;
  dispose: () => void;
} {
  const rows = trees.flatMap(({ logits }) => logits);
  const vocab = rows[0]!.length;
  const hidden = device.tensor(Float32Array.from(rows.flatMap((row) => Array.from(row))), [
    rows.length,
    vocab,
  ]);
  const weight = device.tensor(
    Float32Array.from({ length: vocab * vocab }, (_, i) => (i % (vocab + 1) === 0 ? 1 : 0)),
    [vocab, vocab],
  );
  const tokens = device.tensor(Int32Array.from(trees.flatMap((each) => each.tokens)));
  const tree = uploadTrees(device, trees);
  const history = trees.map((each) => each.history!);
  const maxDepth = 12;
  const work = capture(device, () => ({
    ...verifyTree({ hidden, weight, tokens, tree, sampling, history, maxDepth }),
  }));
  return {
    replay: () => work.replay(),
    result: work.result,
    tree,
    dispose: () => work.dispose(),
  };
}

describe('refusals', () => {
  const bias = (...tokens: number[]): Map<number, number> => new Map(tokens.map((token) => [token, 1]));

  it('options for fewer sequences', async () => {
    await onCpu({}, async (device) => {
      const trees = treesFor([0, 1, 2], 7, new Random(1));
      await expect(verifyTrees(device, trees, [{}, {}])).rejects.toEqual(
        foretokenError('SHAPE_MISMATCH', 'verifyTree: sampling is [2, 10], but must be [3 or more, 10]'),
      );
    });
  });

  it('a bias without room', async () => {
    await onCpu({}, async (device) => {
      const message = 'logitBias has 3 tokens, but there is room for 2';
      expect(() => packSampling(device, [{}, { logitBias: bias(1, 2, 3) }], { biasRoom: 2 })).toThrow(
        foretokenError('INVALID_ARGUMENT', `packSampling: sampling[1].${message}`),
      );
      using packed = packSampling(device, [{ logitBias: bias(1, 2) }]);
      expect(() => packed.write(0, { logitBias: bias(1, 2, 3) })).toThrow(
        foretokenError('INVALID_ARGUMENT', `DeviceSampling: write: ${message}`),
      );
      expect(packed.needs).toBe('logits');
    });
  });

  it('options of a sequence that does not exist, and options with a wrong value', async () => {
    await onCpu({}, async (device) => {
      using packed = packSampling(device, [{}]);
      expect(() => packed.write(1, {})).toThrow(foretokenError('INDEX_OUT_OF_RANGE', 'sequence', 'is 1'));
      expect(() => packed.write(0, { topP: 2 })).toThrow(foretokenError('INVALID_ARGUMENT', 'topP'));
      expect(() => packSampling(device, [{}, { minP: -1 }])).toThrow(
        foretokenError('INVALID_ARGUMENT', 'packSampling: sampling[1].minP'),
      );
    });
  });

  it('penalties without a history', async () => {
    await onCpu({}, async (device) => {
      const [weight, hidden, tokens] = [
        device.zeros([5, 3]),
        device.zeros([1, 3]),
        device.tensor(Int32Array.of(0)),
      ];
      const tree = uploadTrees(device, [{ parents: [-1], length: 3 }]);
      expect(() => verifyTree({ hidden, weight, tokens, tree, sampling: [{ presencePenalty: 1 }] })).toThrow(
        foretokenError('INVALID_ARGUMENT', 'verifyTree: history is needed'),
      );
    });
  });

  it('needs grow and shrink with the options', async () => {
    await onCpu({}, async (device) => {
      using packed = packSampling(device, [{ temperature: 1 }, { topK: 2 }], { biasRoom: 1 });
      expect(packed.needs).toBe('nothing'); // top-k changes no greedy draw
      packed.write(1, { presencePenalty: 1 });
      expect(packed.needs).toBe('history');
      packed.write(0, { logitBias: bias(3) });
      packed.write(1, {});
      expect(packed.needs).toBe('logits');
    });
  });
});
