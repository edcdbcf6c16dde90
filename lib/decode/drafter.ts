import { inputsOf, stateOf } from '../heads/inputs';
import type { MtpModel } from '../model/model';
import { KvCache } from '../nn/kv-cache';
import type { TrainingRows } from '../nn/rows';
import { embedding } from '../tensor/ops/layers/embedding';
import { linear } from '../tensor/ops/linear/linear';
import { reshape, rows } from '../tensor/ops/layers/reshape';
import { topK } from '../tensor/ops/sampling/sampling';
import { keep, scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { MAX_DRAFT_NODES } from './options';
import { nextPositions } from './next-positions';
import type { StepInputs } from './step-inputs';

/** Known positions that are worth a pass of their own before a draft is wanted. */
const SETTLE = 64;

/** States of the trunk at the nodes or positions of one forward pass, [count, hiddenSize] each. */
export type TrunkStates = Record<'z' | 'hidden', Tensor>;

/** Runs heads 2 … depth+1 on committed positions and proposes tokens for the next tree. */
export interface Drafter extends Disposable {
  /**
   * Whether `see` and `draft` enqueue the same operations every time, so that they can be captured. Others work on rows
   * that they learn of in `commit`.
   */
  readonly capturable: boolean;
  /** How many heads there are to draft. */
  readonly depth: number;
  /** Takes note of a step's rows, of which the host does not know yet which are accepted. */
  see(states: TrunkStates): void;
  /**
   * Rows that were committed. They are only gathered until a draft is wanted, so steps without one cost nothing here.
   * @param path which rows
   * @param tokens tokens[i] follows the position of row path[i]; the last one is the root of the next tree
   */
  commit(states: TrunkStates, path: readonly number[], tokens: Int32Array): void;
  /**
   * int32 [1, drafted, width]: for each depth the head's likeliest tokens, best first. At least `depth` of them; those who
   * gather rows draft with all their heads, which must see every row.
   */
  draft(depth: number, width: number): Tensor;
  /** Forgets the text. */
  reset(): void;
  dispose(): void;
}

export interface DrafterOptions {
  /** How many heads draft, at most numHeads - 1. */
  depth: number;
  /** Positions there must be room for. */
  capacity: number;
  inputs: StepInputs;
}

export function makeDrafter(model: MtpModel, { depth, capacity, inputs }: DrafterOptions): Drafter {
  const { numKeyValueHeads, headDim } = model.config;
  if (!model.heads.chained && model.heads.layers === 0) return new PositionDrafter(model, depth, inputs);
  const layers = model.heads.layers * depth;
  const { device, dtype } = model;
  const cache = new KvCache(device, { layers, kvHeads: numKeyValueHeads, headDim, capacity, dtype });
  return model.heads.chained
    ? new ChainedDrafter(model, depth, cache)
    : new IndependentDrafter(model, depth, cache);
}

/** Likeliest tokens for hidden states [count, hiddenSize]: int32 [count, width]. */
function propose(model: MtpModel, hidden: Tensor, width: number): Tensor {
  const logits = linear(hidden, model.unembeddingFor(hidden), null, 'float32');
  return topK(logits, width).indices;
}

/** The last row of [rows, dim] as [1, dim]. */
function lastRow(x: Tensor): Tensor {
  return rows(x, x.shape[0]! - 1, 1);
}

/** Rows by index: what an embedding does. */
function gather({ z, hidden }: TrunkStates, index: Tensor, { dtype }: MtpModel): TrunkStates {
  return { z: embedding(index, z, dtype), hidden: embedding(index, hidden, dtype) };
}

/** Heads that look at one row alone: that of the position where the root was drawn. */
class PositionDrafter implements Drafter {
  readonly capturable = true;
  /** The rows of the step before. */
  readonly #last: TrunkStates;
  /** A row that stands alone, at the position where the root was drawn. */
  readonly #alone: TrainingRows;

  constructor(
    private readonly model: MtpModel,
    readonly depth: number,
    private readonly inputs: StepInputs,
  ) {
    const shape = [MAX_DRAFT_NODES + 1, model.config.hiddenSize];
    const zeros = (): Tensor => keep(model.device.zeros(shape, model.dtype));
    this.#last = { z: zeros(), hidden: zeros() };
    const starts = keep(model.device.tensor(Int32Array.of(0)));
    this.#alone = { kind: 'packed', batch: 1, starts, positions: inputs.position };
  }

  see({ z, hidden }: TrunkStates): void {
    const count = z.shape[0]!;
    rows(this.#last.z, 0, count).copyFrom(z);
    rows(this.#last.hidden, 0, count).copyFrom(hidden);
  }

  commit(): void {
    // All that is needed comes with the inputs of the next step.
  }

  reset(): void {
    // Every draft follows on rows that were seen.
  }

  draft(depth: number, width: number): Tensor {
    return scope(() => {
      const { model, inputs } = this;
      const row = gather(this.#last, inputs.drawnAt, model);
      const stacked = model.device.empty([depth, model.config.hiddenSize], model.dtype);
      const read = inputsOf(model.heads, {
        ...{ ...row, previous: null, tokens: null },
        ...{ root: inputs.root, rows: this.#alone },
      });
      for (let k = 2; k <= depth + 1; k++) {
        rows(stacked, k - 2, 1).copyFrom(model.heads.forward(k, read).hidden);
      }
      return reshape(propose(model, stacked, width), [1, depth, width]);
    });
  }

  dispose(): void {
    this.#last.z.dispose();
    this.#last.hidden.dispose();
    this.#alone.starts.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Heads with layers that do not need each other's drafts: all of them propose in one product. */
class IndependentDrafter implements Drafter {
  readonly capturable = false;
  #pending: (TrunkStates & { following: Tensor })[] = [];

  constructor(
    private readonly model: MtpModel,
    readonly depth: number,
    private readonly cache: KvCache,
  ) {}

  see(): void {
    // Only accepted rows count.
  }

  commit(states: TrunkStates, path: readonly number[], tokens: Int32Array): void {
    const { device } = this.model;
    const { z, hidden } = gather(states, device.tensor(Int32Array.from(path)), this.model);
    this.#pending.push({ z: keep(z), hidden: keep(hidden), following: keep(device.tensor(tokens)) });
  }

  draft(_depth: number, width: number): Tensor {
    return scope(() => {
      const { device, config, dtype, heads } = this.model;
      const stacked = device.empty([this.depth, config.hiddenSize], dtype);
      for (const { z, hidden, following: root } of this.#pending) {
        const count = z.shape[0]!;
        const inputs = inputsOf(heads, {
          ...{ z, hidden, previous: null, tokens: null, root },
          rows: nextPositions(this.cache, count),
        });
        for (let k = 2; k <= this.depth + 1; k++) {
          rows(stacked, k - 2, 1).copyFrom(lastRow(heads.forward(k, inputs).hidden));
        }
        this.cache.advance([count]);
      }
      this.#release();
      return reshape(propose(this.model, stacked, width), [1, this.depth, width]);
    });
  }

  reset(): void {
    this.#release();
    this.cache.truncate(0, 0);
  }

  #release(): void {
    for (const { z, hidden, following } of this.#pending) {
      for (const tensor of [z, hidden, following]) tensor.dispose();
    }
    this.#pending = [];
  }

  dispose(): void {
    this.#release();
    this.cache.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Heads that read the token before the one they predict. Head k at position t reads token t+k-1, so at the newest
 * positions it reads drafts. What it computed from those is computed again once the real tokens are known: the last
 * depth-1 positions are always open, all others are final and lie in the cache.
 */
class ChainedDrafter implements Drafter {
  readonly capturable = false;
  /** States of the open positions, oldest first, in pieces. */
  #open: TrunkStates[] = [];
  /** The token after each open position; the last one is the root. */
  #tokens: number[] = [];

  constructor(
    private readonly model: MtpModel,
    readonly depth: number,
    private readonly cache: KvCache,
  ) {}

  see(): void {
    // Only accepted rows count.
  }

  commit(states: TrunkStates, path: readonly number[], tokens: Int32Array): void {
    const index = this.model.device.tensor(Int32Array.from(path));
    const { z, hidden } = gather(states, index, this.model);
    this.#open.push({ z: keep(z), hidden: keep(hidden) });
    this.#tokens.push(...tokens);
    // A long prompt is worked off on the way.
    if (this.#tokens.length >= SETTLE + this.depth)
      scope(() => this.#settle(this.#tokens.length - this.depth));
  }

  draft(_depth: number, width: number): Tensor {
    return scope(() => {
      const { device } = this.model;
      const count = this.#tokens.length;
      const states = this.#concatenated();
      // The known tokens, then room for the drafts that the deeper heads read.
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

  /** Finishes the first `count` open positions, all of whose tokens are known. */
  #settle(count: number): void {
    const states = this.#concatenated();
    const final = { z: rows(states.z, 0, count), hidden: rows(states.hidden, 0, count) };
    this.#forward(final, this.model.device.tensor(Int32Array.from(this.#tokens)));
    this.#close(count, states);
  }

  /** All heads over the states; tokens[i] follows the position of row i. */
  #forward({ z, hidden }: TrunkStates, tokens: Tensor, onHead?: (k: number, out: Tensor) => void): void {
    const { heads } = this.model;
    const count = z.shape[0]!;
    const root = rows(tokens, 0, count);
    const related = nextPositions(this.cache, count);
    let previous = hidden;
    for (let k = 2; k <= this.depth + 1; k++) {
      const inputs = { z, hidden, previous, tokens: rows(tokens, k - 2, count), root, rows: related };
      const out = heads.forward(k, inputsOf(heads, inputs));
      onHead?.(k, out.hidden);
      if (k <= this.depth) previous = stateOf(k, out);
    }
  }

  /** The states of all open positions. */
  #concatenated(): TrunkStates {
    const { device, config, dtype } = this.model;
    const stack = (name: keyof TrunkStates): Tensor => {
      const whole = device.empty([this.#tokens.length, config.hiddenSize], dtype);
      let row = 0;
      for (const { [name]: piece } of this.#open) {
        rows(whole, row, piece.shape[0]!).copyFrom(piece);
        row += piece.shape[0]!;
      }
      return whole;
    };
    return { z: stack('z'), hidden: stack('hidden') };
  }

  /** The first `final` open positions are final; the others stay open. */
  #close(final: number, states: TrunkStates): void {
    const left = this.#tokens.length - final;
    const stay = (all: Tensor): Tensor => {
      const open = this.model.device.empty([left, all.shape[1]!], all.dtype);
      return keep(open.copyFrom(rows(all, final, left)));
    };
    this.#release();
    if (left > 0) this.#open = [{ z: stay(states.z), hidden: stay(states.hidden) }];
    this.#tokens = this.#tokens.slice(final);
    this.cache.advance([final]);
  }

  #release(): void {
    for (const { z, hidden } of this.#open) {
      z.dispose();
      hidden.dispose();
    }
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
