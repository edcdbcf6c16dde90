import type { HeadInputs, HeadKind, HeadOutputs, Heads, HeadsContext } from './heads';
import { MtpModule } from './mtp-module';

const READS = ['previous', 'tokens'] as const;

/**
 * Heads that use one module again and again, under the names that published models of the family have for it (MiMo, GLM-4.5,
 * DeepSeek-V3). Each use reads the normed output of the one before, as the first reads head 1's, and has a KV cache of its own, as in
 * training: Cai et al. 2025, "FastMTP: Accelerating LLM Inference with Enhanced Multi-Token Prediction". Of several modules the last is
 * used again.
 */
class RecursiveHeads implements Heads<typeof READS> {
  readonly reads = READS;
  readonly layers = 1;
  readonly #modules: MtpModule[];

  constructor(private readonly context: HeadsContext) {
    const used = context.modules.slice(0, context.numHeads - 1);
    this.#modules = used.map((layout) => new MtpModule(context, layout));
  }

  forward(k: number, { previous, tokens, rows }: HeadInputs<typeof READS>): HeadOutputs {
    const module = this.#modules[Math.min(k - 2, this.#modules.length - 1)]!;
    const { hidden } = module.forward(this.context.embed(tokens), previous, rows, k - 2);
    return { hidden, state: hidden };
  }
}

export const recursive: HeadKind = { kind: 'recursive', create: (context) => new RecursiveHeads(context) };
