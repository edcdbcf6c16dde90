import type { BlockConfig } from '../nn/block-config';
import type { ParameterStore } from '../nn/parameters';
import type { RopeTable } from '../nn/rope-table';
import type { Rows } from '../nn/rows';
import type { Tensor } from '../tensor/tensor';

/** What a head kind gets to build its layers from. */
export interface HeadsContext {
  /** Where layers register their parameters; in checkpoints the names of head k's begin with `mtp.heads.<k>.`. */
  readonly store: ParameterStore;
  /** Sizes and flags of the trunk's layers. */
  readonly config: BlockConfig;
  /** Rotary positions, for heads with attention. */
  readonly table: RopeTable;
  /** Number of heads n, the next-token head included; these are heads 2 … n. */
  readonly numHeads: number;
  /** tokens int32 [rows] → embeddings [rows, hiddenSize]. */
  embed(tokens: Tensor): Tensor;
}

/** What a head may look at. All are [rows, hiddenSize] for the same rows. */
export interface HeadInputs {
  /** The trunk before its last layer, which is head 1's own. */
  readonly z: Tensor;
  /** The trunk after its last layer and final norm: what head 1 unembeds; null unless the heads `readHidden`. */
  readonly hidden: Tensor | null;
  /** What head k-1 handed on (`state`), `hidden` for head 2; null unless the heads are `chained`. */
  readonly previous: Tensor | null;
  /** int32 [rows]: token t+k-1 for the row of position t; null unless the heads are `chained`. */
  readonly tokens: Tensor | null;
  /** int32 [rows]: token t+1, which head 1 has drawn before the others draft; null unless the heads `readRoot`. */
  readonly root: Tensor | null;
  /** How the rows relate to each other: what attention may look at. Heads without layers draft for one row alone. */
  readonly rows: Rows;
}

/** What a head gives for each of the rows it was given. */
export interface HeadOutputs {
  /** [rows, hiddenSize], to be unembedded into logits of token t+k. */
  readonly hidden: Tensor;
  /** What the next head gets as `previous`; only for heads that build on each other. */
  readonly state?: Tensor;
}

/**
 * Heads 2 … n of one kind. `forward` serves training and drafting alike; how drafting feeds it follows from `chained`
 * and `layers`.
 */
export interface Heads {
  /** Whether head k needs head k-1's `state` and the token before the one it predicts. */
  readonly chained: boolean;
  /** Whether heads read what head 1 computes: its layer's activations must then be kept while they learn. */
  readonly readHidden: boolean;
  /** Whether heads read token t+1, the root of the tree that they draft for. */
  readonly readRoot: boolean;
  /** Layers of KV cache that each head needs: 0 when a head looks at its own row alone. */
  readonly layers: number;
  /**
   * One head on some rows, in training and in drafting.
   * @param k which head, 2 … n. In a cache, head k's layers are (k-2)·layers … (k-1)·layers - 1.
   */
  forward(k: number, inputs: HeadInputs): HeadOutputs;
}

/** An architecture of heads, under the name that config.json gives as `mtp.kind`. */
export interface HeadKind {
  /** The name. */
  readonly kind: string;
  /** Makes heads 2 … n of a new model; called once for each model, before its parameters have memory. */
  create(context: HeadsContext): Heads;
}
