import type { BlockConfig } from '../nn/block-config';
import { Block } from '../nn/block';
import { Linear } from '../nn/linear';
import type { ParameterStore } from '../nn/parameters';
import { RMSNorm } from '../nn/rms-norm';
import type { RopeTable } from '../nn/rope-table';
import type { Rows } from '../nn/rows';
import { concat } from '../tensor/ops/layers/elementwise';
import type { Tensor } from '../tensor/tensor';

/** How checkpoints name the tensors of a module, and in which order its projection reads its inputs. */
export interface ModuleLayout {
  /** Prefix of all names, with its dot. */
  readonly prefix: string;
  /** The norm of the token's embedding. */
  readonly tokenNorm: string;
  /** The norm of the state before. */
  readonly stateNorm: string;
  /** The projection of both. */
  readonly projection: string;
  /** Prefix of the transformer layer's names, with its dot, or empty. */
  readonly block: string;
  /** The norm at the end. */
  readonly norm: string;
  /** Whether the projection reads the state first, and not the embedding. */
  readonly stateFirst: boolean;
}

/** Passed to the constructor of {@link MtpModule}. */
export interface ModuleContext {
  readonly store: ParameterStore;
  readonly config: BlockConfig;
  readonly table: RopeTable;
}

/**
 * A module that predicts one more token: it reads the embedding of the token before that one, and the state of the module before.
 * DeepSeek-AI 2024, "DeepSeek-V3 Technical Report", section 2.2.
 */
export class MtpModule {
  readonly #tokenNorm: RMSNorm;
  readonly #stateNorm: RMSNorm;
  readonly #projection: Linear;
  readonly #block: Block;
  readonly #norm: RMSNorm;

  constructor(
    { store, config, table }: ModuleContext,
    private readonly layout: ModuleLayout,
  ) {
    const { hiddenSize, rmsNormEps, initStd } = config;
    const { prefix } = layout;
    const norm = (name: string): RMSNorm => new RMSNorm(store, prefix + name, hiddenSize, rmsNormEps);
    this.#tokenNorm = norm(layout.tokenNorm);
    this.#stateNorm = norm(layout.stateNorm);
    const part = { name: layout.projection, rows: hiddenSize };
    this.#projection = new Linear(store, prefix, [part], 2 * hiddenSize, { std: initStd });
    this.#block = new Block(store, prefix + layout.block, config, table);
    this.#norm = norm(layout.norm);
  }

  /**
   * @param embedded [rows, hiddenSize]: embeddings of the tokens
   * @param previous [rows, hiddenSize]: the state before
   * @param layer the layer of the KV cache
   * @returns `state`, the output of the transformer layer, and `hidden`, that output normed, for the unembedding
   */
  forward(embedded: Tensor, previous: Tensor, rows: Rows, layer: number): { hidden: Tensor; state: Tensor } {
    const token = this.#tokenNorm.forward(embedded);
    const before = this.#stateNorm.forward(previous);
    const read = this.layout.stateFirst ? concat(before, token) : concat(token, before);
    const state = this.#block.forward(this.#projection.forward(read), rows, layer);
    return { hidden: this.#norm.forward(state), state };
  }
}
