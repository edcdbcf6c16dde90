import type { BlockConfig } from '../nn/block-config';
import type { ParameterStore } from '../nn/parameters';
import type { RopeTable } from '../nn/rope-table';
import type { Rows } from '../nn/rows';
import type { Tensor } from '../tensor/tensor';

/** Passed to {@link HeadKind.create}, which makes the layers of the heads. */
export interface HeadsContext {
  /** The store in which layers register parameters; names of head k must begin with `mtp.heads.<k>.`. */
  readonly store: ParameterStore;
  /** Sizes and flags of the trunk's layers. */
  readonly config: BlockConfig;
  /** Rotary positions, for heads with attention. */
  readonly table: RopeTable;
  /** Number of heads n, the next-token head included: the kind makes heads 2 … n. */
  readonly numHeads: number;
  /** Embeds tokens: int32 [rows] → [rows, hiddenSize]. */
  embed(tokens: Tensor): Tensor;
}

/** Inputs of a head, the same in training and drafting. States are [rows, hiddenSize], of the same rows as the tokens. */
export interface HeadInputs {
  /** Output of the trunk before its last layer, which belongs to head 1. */
  readonly z: Tensor;
  /** Output of the trunk after its last layer and final norm, which head 1 unembeds; null unless the heads `readHidden`. */
  readonly hidden: Tensor | null;
  /** `state` of head k-1, or head 1's `hidden` for head 2; null unless the heads are `chained`. */
  readonly previous: Tensor | null;
  /** int32 [rows]: token t+k-1 for the row at position t; null unless the heads are `chained`. */
  readonly tokens: Tensor | null;
  /** int32 [rows]: token t+1, which is drawn before the heads draft; null unless the heads `readRoot`. */
  readonly root: Tensor | null;
  /**
   * How the rows relate to each other, which decides what attention may read. Heads with `layers` 0 draft with one row, which has only
   * its position.
   */
  readonly rows: Rows;
}

/** Outputs of a head, for each row. */
export interface HeadOutputs {
  /** [rows, hiddenSize]; unembedded, these are the logits of token t+k. */
  readonly hidden: Tensor;
  /** `previous` of the next head; chained heads must return it, except the last. */
  readonly state?: Tensor;
}

/**
 * Heads 2 … n of one kind. Training and drafting call the same `forward`; `chained` and `layers` decide on which rows drafting calls
 * it.
 */
export interface Heads {
  /** Whether head k needs head k-1's `state` and the token before the one it predicts. */
  readonly chained: boolean;
  /** Whether heads read head 1's output. If so, training keeps the activations of head 1 until the heads have learnt. */
  readonly readHidden: boolean;
  /** Whether heads read token t+1, the root of the tree that they draft for. */
  readonly readRoot: boolean;
  /** Layers of KV cache that each head needs; 0 if a head reads only its own row. */
  readonly layers: number;
  /**
   * Computes one head on some rows.
   * @param k number of the head, 2 … n; its layers in a cache are (k-2)·layers … (k-1)·layers - 1
   */
  forward(k: number, inputs: HeadInputs): HeadOutputs;
}

/** An architecture of heads, which config.json names as `mtp.kind`. */
export interface HeadKind {
  /** The name. */
  readonly kind: string;
  /** Makes heads 2 … n of a new model. Called once for each model, before its parameters are allocated. */
  create(context: HeadsContext): Heads;
}
