import {
  arrayOf,
  boolean,
  checkOptions,
  either,
  integer,
  object,
  required,
  type Schema,
} from '../../../check';
import { native } from '../../../native/load';
import { LARGEST_INT, tensor, tensors } from '../../checks';
import type { Device } from '../../device';
import { scope } from '../../scope';
import { Tensor } from '../../tensor';
import { TREE_ROWS, type TreeRows } from '../attention/kv-cache';
import { deviceSampling, SEQUENCE_SAMPLING, type SequenceSampling } from './device-sampling';
import { HISTORY, historyTokens, softcap, type SamplingHistory } from './sampling';

/** The texts of some sequences before the draws, on the device. */
export interface DeviceHistory {
  /** int32 [sequences, stride]: prompt and output of each, with the root's token last. */
  tokens: Tensor;
  /** int32 [sequences]: number of tokens. */
  lengths: Tensor;
  /** int32 [sequences]: number of tokens, from the first, that are the prompt. */
  promptLengths: Tensor;
}

/** Draft trees after their forward pass, and how tokens are drawn. */
export interface VerifyTreeInputs {
  /** `[rows, dim]`: hidden state of head 1 at every node. */
  hidden: Tensor;
  /** [vocab, dim], row-major or packed. */
  weight: Tensor;
  /** [vocab], added to the logits. */
  bias?: Tensor;
  /** z = softcap·tanh(z / softcap). 0 = off. */
  softcap?: number;
  /** int32 [rows]: the token each node holds. */
  tokens: Tensor;
  /** Parents of the nodes; the first row of a sequence is its root. A sequence without rows commits no token. */
  tree: TreeRows;
  /** How tokens are drawn: options for all sequences, for each, or for each and packed. Default: the likeliest token. */
  sampling?: SequenceSampling;
  /** The text of each sequence, with the root's token last; only penalties need it. */
  history?: readonly SamplingHistory[] | DeviceHistory;
  /**
   * int32 [rows, ⌈vocab / 32⌉]: bit v % 32 of word v / 32 says whether a node may draw token v. Applied before all sampling options.
   * Default: every token.
   */
  mask?: Tensor;
  /**
   * Whether a sequence whose root has nothing to draw commits no token, with 0 in `counts`, so that the others go on. Default: the
   * next readback rejects with DIVERGED.
   */
  allowsNoToken?: boolean;
  /** Largest depth that the results have room for. Default: the depth of the tree, or of any tree if only the device knows it. */
  maxDepth?: number;
}

const DEVICE_HISTORY = object<DeviceHistory>(tensors('tokens', 'lengths', 'promptLengths'));

const VERIFY_TREE_INPUTS: Schema<VerifyTreeInputs> = {
  hidden: required(tensor),
  weight: required(tensor),
  bias: tensor,
  softcap,
  tokens: required(tensor),
  tree: required(object(TREE_ROWS)),
  sampling: SEQUENCE_SAMPLING,
  history: either<[readonly SamplingHistory[], DeviceHistory]>(arrayOf(HISTORY), DEVICE_HISTORY),
  mask: tensor,
  allowsNoToken: boolean,
  maxDepth: integer(0, LARGEST_INT - 1),
};

/** Result of {@link verifyTree}. */
export interface VerifyTreeResult {
  /** int32 [sequences, maxDepth + 1]: accepted rows, root first, then -1. */
  path: Tensor;
  /** int32 [sequences, maxDepth + 1]: the token drawn at each accepted row; these are the tokens that the step commits. */
  drawn: Tensor;
  /** int32 [sequences]: number of accepted rows, the root included, which is the number of committed tokens. */
  counts: Tensor;
}

/**
 * Verifies draft trees: draws a token at the root as plain decoding would; while a child holds the drawn token, steps to that child
 * and draws again. A draw depends on the node's path, its position and the seed alone, so the output is that of plain decoding
 * whatever the drafts are. NaN, -Infinity and what a mask forbids are never drawn; if a root has nothing else, the next readback rejects with DIVERGED.
 * Below a root, a path ends before such a node.
 * @throws ForetokenError INDEX_OUT_OF_RANGE for a malformed tree; INVALID_ARGUMENT naming a sampling option
 */
export function verifyTree(inputs: VerifyTreeInputs): VerifyTreeResult {
  const checked = checkOptions('verifyTree', inputs, VERIFY_TREE_INPUTS);
  return scope(() => {
    const { hidden, weight, bias, tokens, tree, history, mask, sampling: given = {} } = checked;
    const { device } = hidden;
    const of = { device, vocabSize: weight.shape[0] ?? 0, sequences: tree.lengths.shape[0] ?? 0 };
    const sampling = deviceSampling('verifyTree', given, of);
    const past = history && sampling.needs === 'history' ? onDevice(device, history) : undefined;
    const [path, drawn, counts] = native.verifyTree(
      hidden.handle,
      weight.handle,
      bias?.handle,
      checked.softcap ?? 0,
      tokens.handle,
      checked.maxDepth,
      tree.rowOffsets.handle,
      tree.lengths.handle,
      tree.parents.handle,
      ...sampling.handles,
      past?.tokens.handle,
      past?.lengths.handle,
      past?.promptLengths.handle,
      mask?.handle,
      checked.allowsNoToken ?? false,
    );
    return {
      path: new Tensor(device, path),
      drawn: new Tensor(device, drawn),
      counts: new Tensor(device, counts),
    };
  });
}

function onDevice(device: Device, history: readonly SamplingHistory[] | DeviceHistory): DeviceHistory {
  if ('lengths' in history) return history;
  const stride = Math.max(0, ...history.map(({ tokens }) => tokens.length));
  const packed = new Int32Array(history.length * stride);
  history.forEach((each, sequence) => {
    packed.set(historyTokens(each, `verifyTree: history[${sequence}]`), sequence * stride);
  });
  return {
    tokens: device.tensor(packed, [history.length, stride]),
    lengths: device.tensor(Int32Array.from(history, ({ tokens }) => tokens.length)),
    promptLengths: device.tensor(Int32Array.from(history, ({ promptLength }) => promptLength)),
  };
}

/** The tokens that a step commits in one sequence. */
export interface AcceptedPath {
  /** Accepted nodes of the sequence's own tree, the root (0) first. */
  nodes: number[];
  /** The token drawn at each of them. */
  tokens: number[];
}

/** Reads the result of {@link verifyTree} back, for each sequence. `tree` must be the tree that was verified. */
export async function readPaths(
  { path, drawn, counts }: VerifyTreeResult,
  tree: TreeRows,
): Promise<AcceptedPath[]> {
  const [rows, tokens, lengths, offsets] = await Promise.all(
    [path, drawn, counts, tree.rowOffsets].map((tensor) => tensor.data()),
  );
  const stride = path.shape[1]!;
  return Array.from(lengths!, (length, sequence) => {
    const begin = sequence * stride;
    const nodes = Array.from(rows!.subarray(begin, begin + length), (row) => row - offsets![sequence]!);
    return { nodes, tokens: Array.from(tokens!.subarray(begin, begin + length)) };
  });
}
