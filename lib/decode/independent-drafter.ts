import { inputsOf } from '../heads/inputs';
import type { MtpModel, TrunkStates } from '../model/model';
import type { KvCache } from '../nn/kv-cache';
import { reshape, rows } from '../tensor/ops/layers/reshape';
import { keep, scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import type { Drafter } from './drafter';
import { gather, lastRow, mapStates, propose } from './drafting';
import { nextPositions } from './next-positions';

/** Drafts with heads that have KV-cache layers but do not read each other's drafts: all of them propose in one product. */
export class IndependentDrafter implements Drafter {
  readonly capturable = false;
  /** Committed positions that the heads have not read yet. */
  #pending: { states: TrunkStates; following: Tensor }[] = [];

  constructor(
    private readonly model: MtpModel,
    readonly depth: number,
    private readonly cache: KvCache,
  ) {}

  see(): void {
    // Only committed states count.
  }

  commit(states: TrunkStates, path: readonly number[], tokens: Int32Array): void {
    const { device } = this.model;
    const committed = gather(states, device.tensor(Int32Array.from(path)), this.model);
    this.#pending.push({ states: mapStates(committed, keep), following: keep(device.tensor(tokens)) });
  }

  draft(_depth: number, width: number): Tensor {
    return scope(() => {
      const { device, config, dtype, heads } = this.model;
      const stacked = device.empty([this.depth, config.hiddenSize], dtype);
      for (const { states, following: root } of this.#pending) {
        const count = root.shape[0]!;
        const inputs = inputsOf(heads, { ...states, root }, nextPositions(this.cache, count));
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
    for (const { states, following } of this.#pending) {
      for (const tensor of [...Object.values(states), following]) tensor.dispose();
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
