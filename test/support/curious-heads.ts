// Heads that read every combination of inputs, so that an input which differs between training and drafting changes what they predict.
import { registerHeadKind } from '../../lib/heads';
import type { HeadInputs, HeadOutputs, HeadRead, Heads, HeadsContext } from '../../lib/heads/heads';
import { Block } from '../../lib/nn/block';
import { Linear } from '../../lib/nn/linear';
import { RMSNorm } from '../../lib/nn/rms-norm';
import { add, silu } from '../../lib/tensor/ops/layers/elementwise';

export type Declared = Pick<Heads, 'reads' | 'layers'>;

/** Heads that sum all their inputs, positions included, each multiplied by its own matrix. */
export class CuriousHeads implements Heads {
  readonly reads: readonly HeadRead[];
  readonly layers: number;
  readonly #heads: { projections: Linear[]; block: Block | undefined; norm: RMSNorm }[] = [];

  constructor(
    { reads, layers }: Declared,
    private readonly context: HeadsContext,
    /** Called with the inputs and outputs of each head. */
    private readonly onForward?: (k: number, inputs: HeadInputs, outputs: HeadOutputs) => void,
  ) {
    [this.reads, this.layers] = [reads, layers];
    const { store, config, table, numHeads } = context;
    const { hiddenSize } = config;
    for (let k = 2; k <= numHeads; k++) {
      const prefix = `mtp.heads.${k}.`;
      const layersRead = reads.map((read) => (typeof read === 'object' ? read.features.length : 1));
      const projections = [1, ...layersRead].map((width, i) => {
        const parts = [{ name: `input${i}`, rows: hiddenSize }];
        return new Linear(store, prefix, parts, width * hiddenSize, { std: 0.5 });
      });
      const block = layers === 1 ? new Block(store, `${prefix}layer.`, config, table) : undefined;
      const norm = new RMSNorm(store, `${prefix}norm`, hiddenSize, config.rmsNormEps);
      this.#heads.push({ projections, block, norm });
    }
  }

  forward(k: number, inputs: HeadInputs): HeadOutputs {
    const { rows } = inputs;
    const { projections, block, norm } = this.#heads[k - 2]!;
    let state = projections[0]!.forward(this.context.embed(rows.positions));
    this.reads.forEach((read, i) => {
      const input = inputs[typeof read === 'object' ? 'features' : read];
      const states = input.dtype === 'int32' ? this.context.embed(input) : input;
      state = add(state, projections[i + 1]!.forward(states));
    });
    state = silu(state);
    if (block) state = block.forward(state, rows, k - 2);
    const outputs = { hidden: norm.forward(state), state };
    this.onForward?.(k, inputs, outputs);
    return outputs;
  }
}

export const curiousKinds: readonly Declared[] = [
  { reads: ['z', 'previous', 'tokens'], layers: 0 },
  { reads: ['z', 'previous', 'tokens', 'root'], layers: 1 },
  { reads: ['hidden', 'previous', 'tokens', 'root'], layers: 0 },
  { reads: ['previous', 'tokens', { features: [1, 0] }], layers: 1 },
  { reads: ['tokens', 'hidden'], layers: 1 },
  { reads: ['previous', 'root'], layers: 1 },
  { reads: ['z', 'hidden', 'root'], layers: 0 },
  { reads: [{ features: [0, 1] }], layers: 0 },
  { reads: ['z', 'hidden', 'root'], layers: 1 },
  { reads: ['z'], layers: 1 },
];

/** Registers all of them; returns their names. */
export function registerCuriousHeads(
  onForward?: (k: number, inputs: HeadInputs, outputs: HeadOutputs) => void,
): string[] {
  return curiousKinds.map((declared) => {
    const kind = nameOf(declared);
    registerHeadKind({ kind, create: (context) => new CuriousHeads(declared, context, onForward) });
    return kind;
  });
}

export function nameOf(declared: Declared): string {
  return `curious ${JSON.stringify(declared)}`;
}
