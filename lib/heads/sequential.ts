import { Block } from '../nn/block';
import { Linear } from '../nn/linear';
import { RMSNorm } from '../nn/rms-norm';
import { concat } from '../tensor/ops/layers/elementwise';
import type { HeadInputs, HeadKind, HeadOutputs, Heads, HeadsContext } from './heads';

interface Module {
  enorm: RMSNorm;
  hnorm: RMSNorm;
  project: Linear;
  block: Block;
  norm: RMSNorm;
}

const READS = ['previous', 'tokens'] as const;

/**
 * Modules that keep the causal chain: head k reads the state of head k-1 and the token before the one that it predicts.
 * DeepSeek-AI 2024, "DeepSeek-V3 Technical Report", section 2.2; the order of the inputs of eh_proj is that of the released
 * checkpoints.
 */
class SequentialHeads implements Heads<typeof READS> {
  readonly reads = READS;
  readonly layers = 1;
  readonly #modules: Module[] = [];

  constructor(private readonly context: HeadsContext) {
    const { store, config, table, numHeads } = context;
    const { hiddenSize, rmsNormEps } = config;
    for (let k = 2; k <= numHeads; k++) {
      const prefix = `mtp.heads.${k}.`;
      const part = { name: 'eh_proj', rows: hiddenSize };
      this.#modules.push({
        enorm: new RMSNorm(store, `${prefix}enorm`, hiddenSize, rmsNormEps),
        hnorm: new RMSNorm(store, `${prefix}hnorm`, hiddenSize, rmsNormEps),
        project: new Linear(store, prefix, [part], 2 * hiddenSize, { std: config.initStd }),
        block: new Block(store, `${prefix}layer.`, config, table),
        norm: new RMSNorm(store, `${prefix}norm`, hiddenSize, rmsNormEps),
      });
    }
  }

  forward(k: number, { previous, tokens, rows }: HeadInputs<typeof READS>): HeadOutputs {
    const { enorm, hnorm, project, block, norm } = this.#modules[k - 2]!;
    const embedded = enorm.forward(this.context.embed(tokens));
    const state = block.forward(project.forward(concat(embedded, hnorm.forward(previous))), rows, k - 2);
    return { hidden: norm.forward(state), state };
  }
}

export const sequential: HeadKind = { kind: 'sequential', create: (context) => new SequentialHeads(context) };
