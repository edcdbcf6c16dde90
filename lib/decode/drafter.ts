import type { MtpModel } from '../model/model';
import { KvCache } from '../nn/kv-cache';
import { linear } from '../tensor/ops/linear';
import { reshape, rows } from '../tensor/ops/reshape';
import { topK } from '../tensor/ops/sampling';
import { keep, scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { chainRows } from './rows';

/** Known positions that are worth a pass of their own before a draft is wanted. */
const SETTLE = 64;

/** Newly committed positions: their trunk states [rows, hiddenSize], and for each the token that follows it. */
export interface Committed {
  z: Tensor;
  hidden: Tensor;
  /** tokens[i] follows the position of row i; the last one is the root of the next tree. */
  tokens: Int32Array;
}

/**
 * Runs heads 2 … depth+1 on committed positions and proposes tokens for the next tree. Committed rows are only gathered
 * until a draft is wanted, so steps without one cost nothing here.
 */
export interface Drafter extends Disposable {
  /** Takes over `z` and `hidden`. */
  commit(committed: Committed): void;
  /** int32 [1, depth, width]: for each depth the head's likeliest tokens, best first. */
  draft(width: number): Tensor;
}

/** @param depth how many heads draft, at most numHeads - 1 */
export function makeDrafter(model: MtpModel, depth: number, capacity: number): Drafter {
  const { numKeyValueHeads, headDim } = model.config;
  const layers = model.heads.layers * depth;
  const cache = new KvCache(model.device, { layers, kvHeads: numKeyValueHeads, headDim, capacity });
  return model.heads.chained
    ? new ChainedDrafter(model, depth, cache)
    : new IndependentDrafter(model, depth, cache);
}

/** Likeliest tokens for hidden states [count, hiddenSize]: int32 [count, width]. */
function propose(model: MtpModel, hidden: Tensor, width: number): Tensor {
  return topK(linear(hidden, model.unembeddingFor(hidden)), width).indices;
}

/** The last row of [rows, dim] as [1, dim]. */
function lastRow(x: Tensor): Tensor {
  return rows(x, x.shape[0]! - 1, 1);
}

/** Heads that do not need each other's drafts: all of them propose in one product. */
class IndependentDrafter implements Drafter {
  #pending: Committed[] = [];

  constructor(
    private readonly model: MtpModel,
    private readonly depth: number,
    private readonly cache: KvCache,
  ) {}

  commit(committed: Committed): void {
    keep(committed.z);
    keep(committed.hidden);
    this.#pending.push(committed);
  }

  draft(width: number): Tensor {
    return scope(() => {
      const { hiddenSize } = this.model.config;
      const stacked = this.model.device.empty([this.depth, hiddenSize]);
      // Heads without a cache look at one row alone: the newest is enough.
      const pieces = this.model.heads.layers > 0 ? this.#pending : this.#pending.slice(-1);
      for (const { z, hidden } of pieces) {
        const count = z.shape[0]!;
        const related = chainRows(this.cache, count);
        for (let k = 2; k <= this.depth + 1; k++) {
          const inputs = { z, hidden, previous: hidden, tokens: null, rows: related };
          rows(stacked, k - 2, 1).copyFrom(lastRow(this.model.heads.forward(k, inputs).hidden));
        }
        this.cache.advance([count]);
      }
      this.#release();
      return reshape(propose(this.model, stacked, width), [1, this.depth, width]);
    });
  }

  #release(): void {
    for (const { z, hidden } of this.#pending) {
      z.dispose();
      hidden.dispose();
    }
    this.#pending = [];
  }

  [Symbol.dispose](): void {
    this.#release();
    this.cache.dispose();
  }
}

/**
 * Heads that read the token before the one they predict. Head k at position t reads token t+k-1, so at the newest
 * positions it reads drafts. What it computed from those is computed again once the real tokens are known: the last
 * depth-1 positions are always open, all others are final and lie in the cache.
 */
class ChainedDrafter implements Drafter {
  /** `hidden` of the open positions, oldest first, in pieces. */
  #open: Tensor[] = [];
  /** The token after each open position; the last one is the root. */
  #tokens: number[] = [];

  constructor(
    private readonly model: MtpModel,
    private readonly depth: number,
    private readonly cache: KvCache,
  ) {}

  commit({ z, hidden, tokens }: Committed): void {
    z.dispose();
    this.#open.push(keep(hidden));
    this.#tokens.push(...tokens);
    // A long prompt is worked off on the way.
    if (this.#tokens.length >= SETTLE + this.depth)
      scope(() => this.#settle(this.#tokens.length - this.depth));
  }

  draft(width: number): Tensor {
    return scope(() => {
      const { device, config } = this.model;
      const count = this.#tokens.length;
      const hidden = this.#concatenated(count, config.hiddenSize);
      // The known tokens, then room for the drafts that the deeper heads read.
      const tokens = device.tensor(
        Int32Array.from([...this.#tokens, ...new Array<number>(this.depth).fill(0)]),
      );
      const drafts = device.empty([this.depth, width], 'int32');
      this.#forward(hidden, tokens, (k, out) => {
        const best = propose(this.model, lastRow(out), width);
        rows(drafts, k - 2, 1).copyFrom(best);
        rows(tokens, count + k - 2, 1).copyFrom(best.view(0, [1]));
      });
      this.#close(Math.max(0, count - (this.depth - 1)), hidden);
      return reshape(drafts, [1, this.depth, width]);
    });
  }

  /** Finishes the first `count` open positions, all of whose tokens are known. */
  #settle(count: number): void {
    const hidden = this.#concatenated(this.#tokens.length, this.model.config.hiddenSize);
    this.#forward(rows(hidden, 0, count), this.model.device.tensor(Int32Array.from(this.#tokens)));
    this.#close(count, hidden);
  }

  /** All heads over `hidden`; tokens[i] follows the position of row i. */
  #forward(hidden: Tensor, tokens: Tensor, onHead?: (k: number, out: Tensor) => void): void {
    const count = hidden.shape[0]!;
    const related = chainRows(this.cache, count);
    let previous = hidden;
    for (let k = 2; k <= this.depth + 1; k++) {
      const inputs = { z: hidden, hidden, previous, tokens: rows(tokens, k - 2, count), rows: related };
      const out = this.model.heads.forward(k, inputs);
      previous = out.state!;
      onHead?.(k, out.hidden);
    }
  }

  #concatenated(count: number, dim: number): Tensor {
    const whole = this.model.device.empty([count, dim]);
    let row = 0;
    for (const piece of this.#open) {
      rows(whole, row, piece.shape[0]!).copyFrom(piece);
      row += piece.shape[0]!;
    }
    return whole;
  }

  /** The first `final` open positions are final; the others stay open. */
  #close(final: number, hidden: Tensor): void {
    const left = this.#tokens.length - final;
    for (const piece of this.#open) piece.dispose();
    const open = this.model.device.empty([left, hidden.shape[1]!]);
    this.#open = left > 0 ? [keep(open.copyFrom(rows(hidden, final, left)))] : [];
    this.#tokens = this.#tokens.slice(final);
    this.cache.advance([final]);
  }

  [Symbol.dispose](): void {
    for (const piece of this.#open) piece.dispose();
    this.#open = [];
    this.cache.dispose();
  }
}
