import { reads } from '../heads/inputs';
import type { MtpModel } from '../model/model';
import { concat } from '../tensor/ops/layers/elementwise';
import { reshape } from '../tensor/ops/layers/reshape';
import { linear } from '../tensor/ops/linear/linear';
import type { SequenceSampling } from '../tensor/ops/sampling/device-sampling';
import { proposeTokens } from '../tensor/ops/sampling/propose-tokens';
import type { Tensor } from '../tensor/tensor';

/** Tokens that heads propose for the positions after the roots of the next step. */
export interface Proposals {
  /** int32 [slots, depth, width]: the likeliest of each depth first. */
  readonly tokens: Tensor;
  /** float32 [slots, depth, width]: how sure the head is of each, 0 … 1. */
  readonly weights: Tensor;
}

/** Turns the last states of heads into proposals, as the heads compute them one after another. */
export interface Proposer {
  /** int32 [slots, heads so far, width]: drafts for the next head to read; null if heads read none, and before the first. */
  readonly drafts: Tensor | null;
  /** Takes the output of the next head at the last row of each slot: [slots, hiddenSize]. */
  add(hidden: Tensor): void;
  /** Returns what all heads propose. */
  finish(): Proposals;
}

/** How heads propose. */
export interface ProposerOptions {
  /** Tokens of each head. */
  readonly width: number;
  /** How the tokens will be drawn. Default: the likeliest token. */
  readonly sampling?: SequenceSampling;
}

/**
 * Makes the proposer that suits the heads of a model.
 * @param positions int32 [slots]: position of the last row of each slot, which is right before the root
 */
export function makeProposer(model: MtpModel, positions: Tensor, options: ProposerOptions): Proposer {
  return reads(model.heads, 'tokens')
    ? new ChainedProposer(model, positions, options)
    : new JointProposer(model, positions, options);
}

/** Proposes for all heads with one product at the end: the heads do not read each other's drafts. */
class JointProposer implements Proposer {
  readonly drafts = null;
  /** [slots, heads · hiddenSize] */
  #hidden: Tensor | null = null;

  constructor(
    private readonly model: MtpModel,
    private readonly positions: Tensor,
    private readonly options: ProposerOptions,
  ) {}

  add(hidden: Tensor): void {
    this.#hidden = this.#hidden ? concat(this.#hidden, hidden) : hidden;
  }

  finish(): Proposals {
    return propose(this.model, this.#hidden!, this.positions, { ...this.options, head: 2 });
  }
}

/** Proposes head by head, because the next head reads the best draft. */
class ChainedProposer implements Proposer {
  /** Of the heads so far; null before the first. */
  #proposals: Proposals | null = null;
  /** The head that proposes next. */
  #head = 2;

  constructor(
    private readonly model: MtpModel,
    private readonly positions: Tensor,
    private readonly options: ProposerOptions,
  ) {}

  get drafts(): Tensor | null {
    return this.#proposals?.tokens ?? null;
  }

  add(hidden: Tensor): void {
    const options = { ...this.options, head: this.#head++ };
    const { tokens, weights } = propose(this.model, hidden, this.positions, options);
    const before = this.#proposals;
    this.#proposals = before
      ? { tokens: joined(before.tokens, tokens), weights: joined(before.weights, weights) }
      : { tokens, weights };
  }

  finish(): Proposals {
    return this.#proposals!;
  }
}

/**
 * Proposes tokens for states [slots, heads · hiddenSize].
 * @param options.head the first of the heads; head k proposes for k positions after the last row
 */
function propose(
  model: MtpModel,
  hidden: Tensor,
  positions: Tensor,
  { width, sampling, head }: ProposerOptions & { head: number },
): Proposals {
  const [slots, columns] = hidden.shape as [number, number];
  const { hiddenSize } = model.config;
  const heads = columns / hiddenSize;
  const states = reshape(hidden, [slots * heads, hiddenSize]);
  const drafts = model.draftUnembedding();
  const logits = linear(states, drafts?.weight ?? model.unembeddingFor(states), null, 'float32');
  const options = { positions, ahead: head, sampling, k: width, ids: drafts?.ids };
  const { tokens, weights } = proposeTokens(logits, options);
  const shape = [slots, heads, width];
  return { tokens: reshape(tokens, shape), weights: reshape(weights, shape) };
}

/** Joins [slots, a, width] and [slots, b, width] to [slots, a + b, width]. */
function joined(a: Tensor, b: Tensor): Tensor {
  const [slots, headsA, width] = a.shape as [number, number, number];
  const headsB = b.shape[1]!;
  // `concat` copies floats, and the bits of integers as well.
  const columns = (x: Tensor, heads: number): Tensor => x.view(0, [slots, heads * width], 'float32');
  const both = concat(columns(a, headsA), columns(b, headsB));
  return both.view(0, [slots, headsA + headsB, width], a.dtype);
}
