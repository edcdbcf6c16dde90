import { inputsOf, reads, stateOf } from '../heads/inputs';
import type { MtpModel, TrunkStates } from '../model/model';
import type { KvCache } from '../nn/kv-cache';
import { reshape, rows } from '../tensor/ops/layers/reshape';
import { keep, scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import type { Drafter } from './drafter';
import { gather, lastRow, mapStates, propose } from './drafting';
import { nextPositions } from './next-positions';

/** Known open positions that are worth a forward pass of their own before the next draft. */
const SETTLE = 64;

/**
 * Drafts with heads that read the token before the one they predict. Head k at position t reads token t+k-1, which at the
 * newest positions is a draft. These positions stay open: their keys and values are computed again when the real tokens are
 * known. The last depth-1 positions are always open; all others are final and lie in the cache.
 */
export class ChainedDrafter implements Drafter {
  readonly capturable = false;
  /** States of the open positions, oldest first, one piece for each commit. */
  #open: TrunkStates[] = [];
  /** The token after each open position; the last one is the root. */
  #tokens: number[] = [];

  constructor(
    private readonly model: MtpModel,
    readonly depth: number,
    private readonly cache: KvCache,
  ) {}

  see(): void {
    // Only committed states count.
  }

  commit(states: TrunkStates, path: readonly number[], tokens: Int32Array): void {
    const index = this.model.device.tensor(Int32Array.from(path));
    this.#open.push(mapStates(gather(states, index, this.model), keep));
    this.#tokens.push(...tokens);
    // A long prompt is processed in parts.
    if (this.#tokens.length >= SETTLE + this.depth)
      scope(() => this.#settle(this.#tokens.length - this.depth));
  }

  draft(_depth: number, width: number): Tensor {
    return scope(() => {
      const { device } = this.model;
      const count = this.#tokens.length;
      const states = this.#concatenated();
      // The known tokens, then space for the drafts that the deeper heads read.
      const tokens = device.tensor(
        Int32Array.from([...this.#tokens, ...new Array<number>(this.depth).fill(0)]),
      );
      const drafts = device.empty([this.depth, width], 'int32');
      this.#forward(states, tokens, (k, out) => {
        const best = propose(this.model, lastRow(out), width);
        rows(drafts, k - 2, 1).copyFrom(best);
        rows(tokens, count + k - 2, 1).copyFrom(best.view(0, [1]));
      });
      this.#close(Math.max(0, count - (this.depth - 1)), states);
      return reshape(drafts, [1, this.depth, width]);
    });
  }

  /** Closes the first `count` open positions, for which all tokens are known. */
  #settle(count: number): void {
    const states = this.#concatenated();
    const final = mapStates(states, (state) => rows(state, 0, count));
    this.#forward(final, this.model.device.tensor(Int32Array.from(this.#tokens)));
    this.#close(count, states);
  }

  /** Runs all heads on the states; tokens[i] follows the position of states[i]. */
  #forward(states: TrunkStates, tokens: Tensor, onHead?: (k: number, out: Tensor) => void): void {
    const { heads } = this.model;
    const count = states.z.shape[0]!;
    const root = rows(tokens, 0, count);
    const positions = nextPositions(this.cache, count);
    let previous = states.hidden;
    for (let k = 2; k <= this.depth + 1; k++) {
      const available = { ...states, previous, tokens: rows(tokens, k - 2, count), root };
      const out = heads.forward(k, inputsOf(heads, available, positions));
      onHead?.(k, out.hidden);
      if (reads(heads, 'previous') && k <= this.depth) previous = stateOf(k, out);
    }
  }

  /** Returns the states of all open positions. */
  #concatenated(): TrunkStates {
    return mapStates(this.#open[0]!, ({ device, shape, dtype }, name) => {
      const whole = device.empty([this.#tokens.length, shape[1]!], dtype);
      let start = 0;
      for (const piece of this.#open) {
        const count = piece[name]!.shape[0]!;
        rows(whole, start, count).copyFrom(piece[name]!);
        start += count;
      }
      return whole;
    });
  }

  /** Makes the first `final` open positions final; the others stay open. */
  #close(final: number, states: TrunkStates): void {
    const left = this.#tokens.length - final;
    const rest = (all: Tensor): Tensor => {
      const open = this.model.device.empty([left, all.shape[1]!], all.dtype);
      return keep(open.copyFrom(rows(all, final, left)));
    };
    this.#release();
    if (left > 0) this.#open = [mapStates(states, rest)];
    this.#tokens = this.#tokens.slice(final);
    this.cache.advance([final]);
  }

  #release(): void {
    for (const states of this.#open) for (const state of Object.values(states)) state.dispose();
    this.#open = [];
  }

  reset(): void {
    this.#release();
    this.#tokens = [];
    this.cache.truncate(0, 0);
  }

  dispose(): void {
    this.reset();
    this.cache.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
