// Small trees to verify, with freely chosen logits, because the unembedding is the identity.
import type { ActivationDType } from '../../lib/native/binding';
import type { Device } from '../../lib/tensor/device';
import type { SamplingHistory } from '../../lib/tensor/ops/sampling/sampling';
import { uploadTrees } from '../../lib/tensor/ops/attention/tree-rows';
import type { Tensor } from '../../lib/tensor/tensor';
import {
  readPaths,
  verifyTree,
  type AcceptedPath,
  type VerifyTreeInputs,
} from '../../lib/tensor/ops/sampling/verify-tree';
import { onDeviceOnly } from './cpu';
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
  /** Whether each node may draw each token. */
  allowed?: readonly (readonly boolean[])[];
}

/** Indices that are out of range wherever they stand. */
export function wildIndices(count: number): number[] {
  return Array.from({ length: count }, (_, i) => [2 ** 31 - 1, -5, 10 ** 6, -(2 ** 31)][i % 4]!);
}

/** Rows behind those of all trees, and whether the host knows the trees. */
export interface Padding {
  rows: number;
  isKnown: boolean;
}

/**
 * Verifies trees of the same vocabulary together. `dtype` must be able to hold the logits. Padding has states that are not numbers and
 * indices out of range.
 */
export async function verifyTrees(
  device: Device,
  trees: readonly TokenTree[],
  sampling: VerifyTreeInputs['sampling'],
  dtype: ActivationDType = 'float32',
  padding: Padding = { rows: 0, isKnown: true },
  { allowsNoToken }: Pick<VerifyTreeInputs, 'allowsNoToken'> = {},
): Promise<AcceptedPath[]> {
  const rows = trees.flatMap(({ logits }) => logits);
  const [vocab, count] = [rows[0]!.length, rows.length + padding.rows];
  const flat = new Float32Array(count * vocab).fill(NaN);
  rows.forEach((row, r) => flat.set(row, r * vocab));
  using hidden = tensorOf(device, flat, [count, vocab], dtype);
  const identity = Float32Array.from({ length: vocab * vocab }, (_, i) => (i % (vocab + 1) === 0 ? 1 : 0));
  using weight = tensorOf(device, identity, [vocab, vocab], dtype);
  const index = (values: number[]): Tensor =>
    padding.isKnown ? device.tensor(Int32Array.from(values)) : onDeviceOnly(device, values);
  using tokens = index([...trees.flatMap((tree) => tree.tokens), ...wildIndices(padding.rows)]);
  const { rowOffsets, lengths, parents } = uploadTrees(device, trees);
  const padded = index([...((await parents.data()) as Int32Array), ...wildIndices(padding.rows)]);
  const tree = { rowOffsets, lengths, parents: padded };
  const history = trees.map((each) => each.history ?? { tokens: [], promptLength: 0 });
  const allowed = trees.flatMap((each) => each.allowed ?? []);
  using mask = allowed.length > 0 ? device.tensor(...masks(allowed)) : undefined;
  const result = verifyTree({ hidden, weight, tokens, tree, sampling, history, mask, allowsNoToken });
  const paths = await readPaths(result, tree);
  const { path, drawn, counts } = result;
  const made = [path, drawn, counts, rowOffsets, lengths, parents, padded];
  for (const tensor of made) tensor.dispose();
  return paths;
}

/** Packs which tokens each row may draw as verifyTree takes it: contents and shape. */
export function masks(allowed: readonly (readonly boolean[])[]): [Int32Array, number[]] {
  const words = Math.ceil(allowed[0]!.length / 32);
  const packed = new Int32Array(allowed.length * words);
  allowed.forEach((row, r) =>
    row.forEach((may, token) => {
      if (may) packed[r * words + Math.floor(token / 32)]! |= 1 << (token % 32);
    }),
  );
  return [packed, [allowed.length, words]];
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
