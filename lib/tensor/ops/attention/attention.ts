import { check, integer, number, object, required, type Schema } from '../../../check';
import type { AttentionShapeArguments } from '../../../native/binding';
import { native } from '../../../native/load';
import { record } from '../../autograd';
import { handleOf, LARGEST_INT } from '../../checks';
import type { KvPages } from '../../kv-pages';
import { Tensor } from '../../tensor';
import { cacheHandle, treeHandles, type TreeRows } from './kv-cache';

/** Heads of attention. heads / kvHeads query heads share each key/value head; scores are scale · q · k. */
export interface AttentionShape {
  /** Query heads in a row, a multiple of `kvHeads`. */
  heads: number;
  /** Key heads in a row; there are as many value heads. */
  kvHeads: number;
  /** Numbers in one head. */
  headDim: number;
  /** Factor of the scores, usually 1 / sqrt(headDim). */
  scale: number;
  /** How many of the last positions a row attends to, its own included. Default: all. */
  window?: number;
}

const count = required(integer(1, LARGEST_INT));

const ATTENTION_SHAPE: Schema<AttentionShape> = {
  heads: count,
  kvHeads: count,
  headDim: count,
  scale: required(number(-Infinity)),
  window: integer(1, LARGEST_INT),
};

const SHAPE = object(ATTENTION_SHAPE);

function shapeArguments(where: string, shape: AttentionShape): AttentionShapeArguments {
  const { heads, kvHeads, headDim, scale, window = LARGEST_INT } = check(`${where}: shape`, shape, SHAPE);
  return [heads, kvHeads, headDim, scale, window];
}

/**
 * Causal self-attention of training: a row attends to the rows of its own document up to itself.
 * @param qkv [batch · length, (heads + 2 · kvHeads) · headDim]: query heads, key heads, value heads
 * @param starts int32 [batch · length]: index, within its own sequence, of the first token of each row's document
 * @returns [batch · length, heads · headDim]
 */
export function attention(qkv: Tensor, starts: Tensor, batch: number, shape: AttentionShape): Tensor {
  const numbers = shapeArguments('attention', shape);
  const [outHandle, lseHandle] = native.attention(handleOf(qkv), handleOf(starts), batch, ...numbers);
  const out = new Tensor(qkv.device, outHandle);
  using lse = new Tensor(qkv.device, lseHandle);
  return record('attention', [qkv], out, [qkv, starts, out, lse], (grad, saved, [toQkv]) => {
    const [input, first, output, denominators] = saved as [Tensor, Tensor, Tensor, Tensor];
    const gradQkv = native.attentionBackward(
      grad.handle,
      input.handle,
      first.handle,
      output.handle,
      denominators.handle,
      batch,
      ...numbers,
    );
    toQkv?.add(new Tensor(grad.device, gradQkv));
  });
}

/**
 * Attention of decoding: each row of a draft tree attends to its committed prefix, its ancestors and itself, whose keys and values
 * {@link kvAppend} has written to the cache. The result of a row has the same bits as in plain decoding, whatever the other rows are.
 * @param cache a KvCache
 * @param qkv [rows, (heads + 2 · kvHeads) · headDim], of the dtype of the cache; only the queries are read
 * @returns [rows, heads · headDim]
 */
export function treeAttention(
  cache: KvPages,
  layer: number,
  qkv: Tensor,
  tree: TreeRows,
  shape: AttentionShape,
): Tensor {
  const numbers = shapeArguments('treeAttention', shape);
  const out = native.treeAttention(
    cacheHandle('treeAttention', cache),
    layer,
    handleOf(qkv),
    ...numbers,
    ...treeHandles('treeAttention', tree),
  );
  return new Tensor(qkv.device, out);
}
