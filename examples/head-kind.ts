/**
 * Writing a new head kind: one file with a constructor that makes its layers and a `forward` that serves training and
 * drafting alike. This one gates the trunk's output per feature, which costs almost nothing.
 */
import {
  Linear,
  MtpModel,
  RMSNorm,
  add,
  backwardHeadByHead,
  generate,
  openDevice,
  registerHeadKind,
  scope,
  swiglu,
  uploadBatch,
  byteTokenizerFiles,
  createTokenizer,
  type HeadInputs,
  type HeadOutputs,
  type Heads,
  type HeadsContext,
} from '../lib';

class GatedHeads implements Heads {
  /** Heads do not need each other's drafts, read what head 1 reads, and look at their own row alone: no KV cache. */
  readonly chained = false;
  readonly readHidden = true;
  readonly layers = 0;
  readonly #heads: { gate: Linear; norm: RMSNorm }[] = [];

  constructor({ store, config, numHeads }: HeadsContext) {
    const { hiddenSize, rmsNormEps, initStd } = config;
    for (let k = 2; k <= numHeads; k++) {
      // Names are those of the checkpoint: mtp.heads.<k>.…
      const parts = [
        { name: 'gate', rows: hiddenSize },
        { name: 'value', rows: hiddenSize },
      ];
      this.#heads.push({
        gate: new Linear(store, `mtp.heads.${k}.`, parts, hiddenSize, { std: initStd }),
        norm: new RMSNorm(store, `mtp.heads.${k}.norm`, hiddenSize, rmsNormEps),
      });
    }
  }

  forward(k: number, { hidden }: HeadInputs): HeadOutputs {
    const { gate, norm } = this.#heads[k - 2]!;
    return { hidden: norm.forward(add(hidden!, swiglu(gate.forward(hidden!)))) };
  }
}

registerHeadKind({ kind: 'gated', create: (context) => new GatedHeads(context) });

async function main(): Promise<void> {
  using device = openDevice('cpu');
  const tokenizer = createTokenizer(byteTokenizerFiles());
  using model = new MtpModel(
    device,
    {
      vocabSize: tokenizer.vocabSize,
      hiddenSize: 64,
      numHiddenLayers: 2,
      numAttentionHeads: 2,
      mtp: { kind: 'gated', numHeads: 3 },
    },
    { seed: 1 },
  );
  const text = tokenizer.encode('A head kind is one file. '.repeat(8));
  const length = 128;
  const batch = {
    batch: 1,
    length,
    tokens: text.slice(0, length),
    starts: new Int32Array(length),
    targets: [1, 2, 3].map((k) => text.slice(k, k + length)),
  };
  model.table.reserve(length);
  const losses = scope(() =>
    backwardHeadByHead(model, uploadBatch(device, batch, false), {
      weights: [1 / length, 1 / length, 1 / length],
    }),
  );
  for (const [i, loss] of losses.entries()) {
    console.log(`head ${i + 1}: ${((await loss!.headLoss.item()) / length).toFixed(3)} nats`);
  }
  let output = '';
  for await (const { text: piece } of generate(model, tokenizer, 'A head', { maxTokens: 16 }))
    output += piece;
  console.log(JSON.stringify(output));
}

void main();
