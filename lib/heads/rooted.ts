import { Linear } from '../nn/linear';
import { RMSNorm } from '../nn/rms-norm';
import { add, silu } from '../tensor/ops/layers/elementwise';
import type { HeadInputs, HeadKind, HeadOutputs, Heads, HeadsContext } from './heads';

const READS = ['hidden', 'root'] as const;

/**
 * Medusa's blocks that also read the root of the tree. When heads draft, the token after their position is already drawn, and later
 * tokens depend on that token most. The heads of Ankner et al. 2024 ("Hydra: Sequentially-Dependent Draft Heads for Medusa
 * Decoding") read all drafted tokens before their own, one after another; these read only the first, which is certain, so all heads
 * still draft at once.
 */
class RootedHeads implements Heads<typeof READS> {
  readonly reads = READS;
  readonly layers = 0;
  readonly #heads: { norm: RMSNorm; block: Linear }[] = [];

  constructor(private readonly context: HeadsContext) {
    const { store, config, numHeads } = context;
    const { hiddenSize, rmsNormEps } = config;
    for (let k = 2; k <= numHeads; k++) {
      const prefix = `mtp.heads.${k}.`;
      const part = { name: 'linear', rows: hiddenSize };
      this.#heads.push({
        norm: new RMSNorm(store, `${prefix}enorm`, hiddenSize, rmsNormEps),
        block: new Linear(store, `${prefix}blocks.0.`, [part], hiddenSize, { std: config.residualStd }, true),
      });
    }
  }

  forward(k: number, { hidden, root }: HeadInputs<typeof READS>): HeadOutputs {
    const { norm, block } = this.#heads[k - 2]!;
    const known = add(hidden, norm.forward(this.context.embed(root)));
    return { hidden: add(hidden, silu(block.forward(known))) };
  }
}

export const rooted: HeadKind = { kind: 'rooted', create: (context) => new RootedHeads(context) };
