import type { BlockConfig } from '../nn/block-config';
import type { ParameterStore } from '../nn/parameters';
import type { RopeTable } from '../nn/rope-table';
import type { Rows } from '../nn/rows';
import type { ModuleLayout } from './mtp-module';
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
  /** Layers of the model, the last of which belongs to head 1: heads that read `features` choose among those before it. */
  readonly numHiddenLayers: number;
  /** Names of the tensors of modules that the model's family has, for heads of kind `recursive`: one or more. */
  readonly modules: readonly ModuleLayout[];
  /** Embeds tokens: int32 [rows] → [rows, hiddenSize]. */
  embed(tokens: Tensor): Tensor;
}

/** Everything that heads can read beside `rows`; the same in training and drafting. */
export interface HeadSources {
  /** `[rows, hiddenSize]`: output of the trunk before its last layer, which belongs to head 1; not normed. */
  readonly z: Tensor;
  /** `[rows, hiddenSize]`: output of the trunk after its last layer and final norm, which head 1 unembeds. */
  readonly hidden: Tensor;
  /** `[rows, layers · hiddenSize]`: outputs of other layers of the trunk, side by side in the order in which the heads name them. */
  readonly features: Tensor;
  /** `[rows, hiddenSize]`: `state` of head k-1, or head 1's `hidden` for head 2. */
  readonly previous: Tensor;
  /** int32 [rows]: token t+k-1 for the row at position t. While drafting, it is the first choice of head k-1. */
  readonly tokens: Tensor;
  /** int32 [rows]: token t+1, which is drawn before the heads draft. */
  readonly root: Tensor;
}

/**
 * Names one input of heads. `features` come with the layers that they are from, 0 … numHiddenLayers-2, numbered as in checkpoints.
 */
export type HeadRead =
  | Exclude<keyof HeadSources, 'features'>
  | {
      /** Layers, at least one. */
      readonly features: readonly number[];
    };

/**
 * Inputs of heads: those that they declare, and `rows`.
 * @typeParam Reads type of the heads' declaration; without it all inputs, of which a call has those that the heads declare
 */
export type HeadInputs<Reads extends readonly HeadRead[] = readonly HeadRead[]> = Pick<
  HeadSources,
  Extract<Reads[number], string> | ([Extract<Reads[number], object>] extends [never] ? never : 'features')
> & {
  /**
   * How the rows relate to each other, which decides what attention may read. Heads with `layers` 0 draft with one row of each
   * text, which has only its position.
   */
  readonly rows: Rows;
};

/** Outputs of a head, for each row. */
export interface HeadOutputs {
  /** [rows, hiddenSize]; unembedded, these are the logits of token t+k. */
  readonly hidden: Tensor;
  /** `previous` of the next head; heads that read `previous` must return it, except the last. */
  readonly state?: Tensor;
}

/**
 * Heads 2 … n of one kind. Training and drafting call the same `forward`; `reads` and `layers` decide on which rows drafting calls
 * it.
 * @typeParam Reads type of `reads`, as in `Heads<typeof READS>` with `const READS = ['hidden', 'root'] as const`
 */
export interface Heads<Reads extends readonly HeadRead[] = readonly HeadRead[]> {
  /** All that `forward` reads beside `rows`. Nothing else is handed over, or kept in training. */
  readonly reads: Reads;
  /** Layers of KV cache that each head needs; 0 if a head reads only its own row. */
  readonly layers: number;
  /**
   * Computes one head on some rows.
   * @param k number of the head, 2 … n; its layers in a cache are (k-2)·layers … (k-1)·layers - 1
   */
  forward(k: number, inputs: HeadInputs<Reads>): HeadOutputs;
}

/** An architecture of heads, which config.json names as `mtp.kind`. */
export interface HeadKind {
  /** The name. */
  readonly kind: string;
  /** Makes heads 2 … n of a new model. Called once for each model, before its parameters are allocated. */
  create(context: HeadsContext): Heads;
}
