// Small trees to verify, with freely chosen logits, because the unembedding is the identity.
import type { ActivationDType } from '../../lib/native/binding';
import type { Device } from '../../lib/tensor/device';
import type { SamplingHistory, SamplingOptions } from '../../lib/tensor/ops/sampling/sampling';
import { uploadTrees } from '../../lib/tensor/ops/attention/tree-rows';
import { readPaths, verifyTree, type AcceptedPath } from '../../lib/tensor/ops/sampling/verify-tree';
import { tensorOf } from './half';
import type { Random } from './random';

/** A tree with a token in every node; the root holds the last token of its history. */
export interface TokenTree {
  parents: number[];
  tokens: number[];
  /** Committed positions: the position of the root. */
  length: number;
  /** Logits of the next token at every node. */
  logits: ArrayLike<number>[];
  history?: SamplingHistory;
}

/** Verifies trees of the same vocabulary together. `dtype` must be able to hold the logits. */
export async function verifyTrees(
  device: Device,
  trees: readonly TokenTree[],
  sampling: SamplingOptions,
  dtype: ActivationDType = 'float32',
): Promise<AcceptedPath[]> {
  const rows = trees.flatMap(({ logits }) => logits);
  const vocab = rows[0]!.length;
  const flat = new Float32Array(rows.length * vocab);
  rows.forEach((row, r) => flat.set(row, r * vocab));
  using hidden = tensorOf(device, flat, [rows.length, vocab], dtype);
  const identity = Float32Array.from({ length: vocab * vocab }, (_, i) => (i % (vocab + 1) === 0 ? 1 : 0));
  using weight = tensorOf(device, identity, [vocab, vocab], dtype);
  using tokens = device.tensor(Int32Array.from(trees.flatMap((tree) => tree.tokens)));
  const tree = uploadTrees(device, trees);
  const history = trees.map((each) => each.history ?? { tokens: [], promptLength: 0 });
  const result = verifyTree({ hidden, weight, tokens, tree, sampling, history });
  const paths = await readPaths(result, tree);
  const { path, drawn, counts } = result;
  const made = [path, drawn, counts, tree.rowOffsets, tree.lengths, tree.parents];
  for (const tensor of made) tensor.dispose();
  return paths;
}

/** The tokens along the path to a node, without the root's. */
export function tokensTo({ parents, tokens }: Pick<TokenTree, 'parents' | 'tokens'>, node: number): number[] {
  return node === 0 ? [] : [...tokensTo({ parents, tokens }, parents[node]!), tokens[node]!];
}

/** A random tree with random tokens, in which siblings may hold the same token. */
export function randomTree(
  random: Random,
  nodes: number,
  vocab: number,
): Pick<TokenTree, 'parents' | 'tokens'> {
  return {
    parents: Array.from({ length: nodes }, (_, i) => (i === 0 ? -1 : random.integer(i))),
    tokens: Array.from({ length: nodes }, () => random.integer(vocab)),
  };
}
