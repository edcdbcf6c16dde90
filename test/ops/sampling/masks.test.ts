// A mask says which tokens each node of a tree may draw: the walk is that of plain draws from logits in which the others are
// -Infinity.
import type { Device } from '../../../lib/tensor/device';
import { uploadTrees } from '../../../lib/tensor/ops/attention/tree-rows';
import type { SamplingOptions } from '../../../lib/tensor/ops/sampling/sampling';
import { verifyTree, type AcceptedPath } from '../../../lib/tensor/ops/sampling/verify-tree';
import { onCpu } from '../../support/cpu';
import { onDevice, targets } from '../../support/devices';
import { drawRows } from '../../support/draws';
import { foretokenError } from '../../support/errors';
import { Random } from '../../support/random';
import { randomTree, verifyTrees, type TokenTree } from '../../support/trees';

type MaskedTree = Required<TokenTree>;

const ways: SamplingOptions[] = [
  { temperature: 0 },
  { temperature: 1, seed: 3 },
  { temperature: 1, topK: 2 },
  { temperature: 1, topP: 0.8 },
  { temperature: 1, minP: 0.1 },
  { temperature: 0, repetitionPenalty: 3 },
  { temperature: 1, frequencyPenalty: 0.5, presencePenalty: -2, topK: 4, topP: 0.9 },
  {
    temperature: 1,
    logitBias: new Map([
      [0, 1e6],
      [1, 3],
      [3, -Infinity],
    ]),
  },
];

function maskedTree(
  random: Random,
  vocab: number,
  share: number,
  nodes = 1 + random.integer(10),
): MaskedTree {
  const tree = randomTree(random, nodes, Math.min(vocab, 4));
  const text = [0, 2, 1, tree.tokens[0]!];
  const allowed = Array.from({ length: nodes }, (_, node) => {
    const row = Array.from({ length: vocab }, () => random.integer(1000) < share * 1000);
    if (node === 0) row[random.integer(vocab)] = true;
    return row;
  });
  const logits = Array.from({ length: nodes }, () => random.floats(vocab, 2));
  return { ...tree, length: 3, logits, history: { tokens: text, promptLength: 2 }, allowed };
}

/** Walks a tree by plain draws from masked logits. */
async function plainWalk(device: Device, tree: MaskedTree, options: SamplingOptions): Promise<AcceptedPath> {
  const path: AcceptedPath = { nodes: [], tokens: [] };
  const text = Array.from(tree.history.tokens);
  for (let node = 0; node >= 0;) {
    if (node > 0) text.push(tree.tokens[node]!);
    const masked = Array.from(tree.logits[node]!, (z, token) => (tree.allowed[node]![token] ? z : -Infinity));
    const isExcluded = (token: number): boolean =>
      masked[token] === -Infinity || options.logitBias?.get(token) === -Infinity;
    if (masked.every((_, token) => isExcluded(token))) break;
    const at = [tree.length + path.nodes.length + 1];
    const [token] = await drawRows(device, [masked], at, options, { ...tree.history, tokens: text });
    path.nodes.push(node);
    path.tokens.push(token!);
    const parent: number = node;
    node = tree.tokens.findIndex((held, child) => tree.parents[child] === parent && held === token);
  }
  return path;
}

describe.each(targets)('on %s', (target) => {
  it.each(ways)('walks are those of plain draws from masked logits with %j', async (options) => {
    await onDevice(target, async (device) => {
      const random = new Random(4);
      let accepted = 0;
      // Vocabularies around words, and one of more than a tile.
      for (const [vocab, share] of [
        [5, 0.6],
        [32, 0.3],
        [33, 0.05],
        [97, 0.9],
        [600, 0.02],
      ] as const) {
        const made = Array.from({ length: 5 }, () => maskedTree(random, vocab, share));
        // The rows of the other trees lie behind those of a first tile.
        if (vocab === 5) made.unshift(maskedTree(random, vocab, share, 130));
        const trees = made.filter(
          // A root whose only token is biased away has an error of its own.
          ({ allowed }) => options.logitBias === undefined || allowed[0]!.some((may, v) => may && v !== 3),
        );
        const expected: AcceptedPath[] = [];
        for (const tree of trees) expected.push(await plainWalk(device, tree, options));
        expect(await verifyTrees(device, trees, options)).toEqual(expected);
        accepted += expected.reduce((sum, { nodes }) => sum + nodes.length - 1, 0);
      }
      expect(accepted).toBeGreaterThan(0);
    });
  });

  it('sequences with different options have masks of their own', async () => {
    await onDevice(target, async (device) => {
      const random = new Random(5);
      const trees = ways.map(() => maskedTree(random, 40, 0.5));
      const expected: AcceptedPath[] = [];
      for (const [i, tree] of trees.entries()) expected.push(await plainWalk(device, tree, ways[i]!));
      expect(await verifyTrees(device, trees, ways)).toEqual(expected);
    });
  });

  it.each(ways)('a mask that allows every token changes nothing with %j', async (options) => {
    await onDevice(target, async (device) => {
      const random = new Random(6);
      const trees = Array.from({ length: 3 }, () => maskedTree(random, 35, 1));
      const plain = trees.map(({ allowed: _, ...tree }) => tree);
      expect(await verifyTrees(device, trees, options)).toEqual(await verifyTrees(device, plain, options));
    });
  });

  describe.each(ways)('with nothing to draw, %j', (options) => {
    const draws = (token: number): number[] =>
      Array.from({ length: 33 }, (_, v) => (v === token ? 50 : v / 100));
    const every = new Array<boolean>(33).fill(true);
    const nothing = new Array<boolean>(33).fill(false);
    const tree = (...allowed: boolean[][]): TokenTree => ({
      parents: [-1, 0, 1],
      tokens: [2, 32, 30],
      length: 3,
      logits: [draws(32), draws(30), draws(31)],
      history: { tokens: [2], promptLength: 1 },
      allowed,
    });
    // Without the bias, which would outweigh the logits.
    const { logitBias: _, ...sampling } = options;

    it('a path ends before a node that may draw no token', async () => {
      await onDevice(target, async (device) => {
        const trees = [tree(every, nothing, every), tree(every, every, nothing), tree(every, every, every)];
        expect(await verifyTrees(device, trees, sampling)).toEqual([
          { nodes: [0], tokens: [32] },
          { nodes: [0, 1], tokens: [32, 30] },
          { nodes: [0, 1, 2], tokens: [32, 30, 31] },
        ]);
      });
    });

    it('a root that may draw no token is an error', async () => {
      await onDevice(target, async (device) => {
        const trees = [tree(every, every, every), tree(nothing, every, every)];
        await expect(verifyTrees(device, trees, sampling)).rejects.toEqual(
          foretokenError('DIVERGED', 'verifyTree: no token can be drawn for position 4', 'row 3', 'mask'),
        );
        await verifyTrees(device, [trees[0]!], sampling);
      });
    });
  });
});

it('a mask of another shape is refused', async () => {
  await onCpu({}, async (device) => {
    const [weight, hidden, tokens] = [
      device.zeros([33, 3]),
      device.zeros([1, 3]),
      device.tensor(Int32Array.of(0)),
    ];
    const tree = uploadTrees(device, [{ parents: [-1], length: 3 }]);
    for (const shape of [[1, 1], [2, 2], [2]]) {
      const mask = device.empty(shape, 'int32');
      expect(() => verifyTree({ hidden, weight, tokens, tree, mask })).toThrow(
        foretokenError('SHAPE_MISMATCH', `verifyTree: mask is [${shape.join(', ')}], but must be [1, 2]`),
      );
    }
    const mask = device.zeros([1, 2]);
    expect(() => verifyTree({ hidden, weight, tokens, tree, mask })).toThrow(
      foretokenError('DTYPE_MISMATCH', 'verifyTree: mask must be int32'),
    );
  });
});
