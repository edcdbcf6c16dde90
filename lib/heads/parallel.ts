import { Block } from '../nn/block';
import { RMSNorm } from '../nn/rms-norm';
import type { HeadInputs, HeadKind, HeadOutputs, Heads, HeadsContext } from './heads';

const READS = ['z'] as const;

/**
 * Each head is a transformer layer, and all read the same trunk output: Gloeckle et al. 2024, "Better & Faster Large Language
 * Models via Multi-token Prediction", section 2. The paper's layer of head 1 is the trunk's last layer.
 */
class ParallelHeads implements Heads<typeof READS> {
  readonly reads = READS;
  readonly layers = 1;
  readonly #heads: { block: Block; norm: RMSNorm }[] = [];

  constructor({ store, config, table, numHeads }: HeadsContext) {
    for (let k = 2; k <= numHeads; k++) {
      this.#heads.push({
        block: new Block(store, `mtp.heads.${k}.layer.`, config, table),
        norm: new RMSNorm(store, `mtp.heads.${k}.norm`, config.hiddenSize, config.rmsNormEps),
      });
    }
  }

  forward(k: number, { z, rows }: HeadInputs<typeof READS>): HeadOutputs {
    const { block, norm } = this.#heads[k - 2]!;
    return { hidden: norm.forward(block.forward(z, rows, k - 2)) };
  }
}

export const parallel: HeadKind = { kind: 'parallel', create: (context) => new ParallelHeads(context) };
