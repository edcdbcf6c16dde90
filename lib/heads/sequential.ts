import type { HeadInputs, HeadKind, HeadOutputs, Heads, HeadsContext } from './heads';
import { MtpModule } from './mtp-module';

const READS = ['previous', 'tokens'] as const;

/**
 * Modules that keep the causal chain: head k reads the state of head k-1 and the token before the one that it predicts.
 * DeepSeek-AI 2024, "DeepSeek-V3 Technical Report", section 2.2; the order of the inputs of eh_proj is that of the released
 * checkpoints.
 */
class SequentialHeads implements Heads<typeof READS> {
  readonly reads = READS;
  readonly layers = 1;
  readonly #modules: MtpModule[] = [];

  constructor(private readonly context: HeadsContext) {
    for (let k = 2; k <= context.numHeads; k++) {
      const layout = {
        ...{ prefix: `mtp.heads.${k}.`, tokenNorm: 'enorm', stateNorm: 'hnorm', projection: 'eh_proj' },
        ...{ block: 'layer.', norm: 'norm', stateFirst: false },
      };
      this.#modules.push(new MtpModule(context, layout));
    }
  }

  forward(k: number, { previous, tokens, rows }: HeadInputs<typeof READS>): HeadOutputs {
    return this.#modules[k - 2]!.forward(this.context.embed(tokens), previous, rows, k - 2);
  }
}

export const sequential: HeadKind = { kind: 'sequential', create: (context) => new SequentialHeads(context) };
