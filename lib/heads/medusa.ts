import { Linear } from '../nn/linear';
import { add, silu } from '../tensor/ops/layers/elementwise';
import type { HeadInputs, HeadKind, HeadOutputs, Heads, HeadsContext } from './heads';

const READS = ['hidden'] as const;

/**
 * Each head is a residual SiLU block on the hidden state after the final norm: Cai et al. 2024, "Medusa: Simple LLM Inference
 * Acceleration Framework with Multiple Decoding Heads", section 2.1.1. The blocks start at zero, so every head begins
 * as a copy of head 1.
 */
class MedusaHeads implements Heads<typeof READS> {
  readonly reads = READS;
  readonly layers = 0;
  readonly #blocks: Linear[] = [];

  constructor({ store, config, numHeads }: HeadsContext) {
    for (let k = 2; k <= numHeads; k++) {
      const part = { name: 'linear', rows: config.hiddenSize };
      this.#blocks.push(
        new Linear(store, `mtp.heads.${k}.blocks.0.`, [part], config.hiddenSize, { value: 0 }, true),
      );
    }
  }

  forward(k: number, { hidden }: HeadInputs<typeof READS>): HeadOutputs {
    return { hidden: add(hidden, silu(this.#blocks[k - 2]!.forward(hidden))) };
  }
}

export const medusa: HeadKind = { kind: 'medusa', create: (context) => new MedusaHeads(context) };
