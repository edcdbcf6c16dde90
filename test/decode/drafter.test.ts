// Heads get the same inputs in drafting as in training, so they draft what they have learnt to predict.
import { Decoder } from '../../lib/decode/decoder';
import { mapStates } from '../../lib/decode/drafting';
import { makeDrafter } from '../../lib/decode/make-drafter';
import { StepInputs } from '../../lib/decode/step-inputs';
import { chain } from '../../lib/decode/tree';
import { registerHeadKind } from '../../lib/heads';
import type { Heads } from '../../lib/heads/heads';
import { MtpModel, type TrunkStates } from '../../lib/model/model';
import { noGrad } from '../../lib/tensor/autograd';
import { openDevice, type Device } from '../../lib/tensor/device';
import { embedding } from '../../lib/tensor/ops/layers/embedding';
import { fillSampling } from '../../lib/tensor/ops/sampling/sampling';
import { keep, scope } from '../../lib/tensor/scope';
import type { Tensor } from '../../lib/tensor/tensor';
import { backwardHeadByHead, lossAllHeads, uploadBatch, type TrainingBatch } from '../../lib/train/loss';
import { CuriousHeads, curiousKinds, nameOf, registerCuriousHeads } from '../support/curious-heads';
import { foretokenError } from '../support/errors';
import { Random } from '../support/random';
import { tinyModel } from '../support/training';

/** The names of the inputs in all calls. */
const given = new Set<string>();
/** The last hidden states of each head. */
let outputs = new Map<number, Tensor>();

function forget(): void {
  for (const tensor of outputs.values()) tensor.dispose();
  outputs = new Map();
}

registerCuriousHeads((k, inputs, { hidden }) => {
  for (const [name, input] of Object.entries(inputs)) given.add(input ? name : `${name} ${String(input)}`);
  outputs.get(k)?.dispose();
  outputs.set(k, keep(hidden.detach()));
});

const numHeads = 4;
const vocabSize = 101;
let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 1, poison: true })));
afterEach(() => device.dispose());

function makeModel(kind: string): MtpModel {
  const sizes = { ...tinyModel(kind, numHeads), vocabSize, numHiddenLayers: 3, maxPositionEmbeddings: 100 };
  const model = new MtpModel(device, { ...sizes, initializerRange: 0.4 }, { seed: 2 });
  model.parameters.allocateGradients();
  return model;
}

/** A batch of one document whose last token is the root: the positions before the root, with all targets that are known. */
function batchOf(known: readonly number[], drafts: readonly number[]): TrainingBatch {
  const all = [...known, ...drafts];
  const length = known.length - 1;
  const targets = Array.from({ length: numHeads }, (_, head) =>
    Int32Array.from({ length }, (_, t) => all[t + head + 1] ?? -100),
  );
  return {
    ...{ batch: 1, length, tokens: Int32Array.from(known.slice(0, -1)) },
    ...{ starts: new Int32Array(length), targets },
  };
}

/** The likeliest token of head k at the last position of its last call. */
async function choiceOf(model: MtpModel, k: number): Promise<number> {
  const weight = await model.unembedding.value.data();
  const dim = model.config.hiddenSize;
  const hidden = Array.from(await outputs.get(k)!.data()).slice(-dim);
  const logits = Array.from({ length: vocabSize }, (_, token) =>
    hidden.reduce((sum, x, d) => sum + x * weight[token * dim + d]!, 0),
  );
  return logits.indexOf(Math.max(...logits));
}

/** Predictions of heads 2 … n in training at the position before the root, each given those of the heads before. */
async function predictions(
  model: MtpModel,
  known: readonly number[],
  loss = backwardHeadByHead,
): Promise<number[]> {
  const drafts: number[] = [];
  for (let k = 2; k <= numHeads; k++) {
    const weights = Array.from({ length: numHeads }, () => 1);
    scope(() => void loss(model, uploadBatch(device, batchOf(known, drafts), model.heads), { weights }));
    drafts.push(await choiceOf(model, k));
  }
  return drafts;
}

/** The states at every position of a text except the last. */
function trunkStates(model: MtpModel, text: readonly number[]): TrunkStates {
  const { tokens, rows } = uploadBatch(device, batchOf(text, []), model.heads);
  return model.states(tokens, rows);
}

describe.each(curiousKinds)('heads with %j', (declared) => {
  beforeEach(() => given.clear());
  afterEach(forget);

  it.each([
    ['backwardHeadByHead', backwardHeadByHead],
    ['lossAllHeads', lossAllHeads],
  ])('draft what they predict in %s', async (_, loss) => {
    using model = makeModel(nameOf(declared));
    const random = new Random(3);
    const text = Array.from({ length: 90 }, () => random.integer(vocabSize));
    model.table.reserve(text.length);
    using inputs = new StepInputs(device, null);
    using drafter = makeDrafter(model, { depth: numHeads - 1, capacity: text.length, inputs });
    const states = noGrad(() => scope(() => trunkStates(model, text)));
    let start = 0;
    // Commit this many positions at a time; the long prompt is followed by no draft.
    for (const [count, drafts] of [
      [2, true],
      [64, false],
      [7, true],
      [1, true],
      [3, true],
      [4, true],
    ] as const) {
      const length = start + count;
      // After each accepted node of a tree lies a rejected one.
      const stride = drafts ? 2 : 1;
      const path = Array.from({ length: count }, (_, i) => stride * i);
      const place = { root: text[length]!, length, drawnAt: path.at(-1)! };
      inputs.write({ ...place, historyLength: 0, promptLength: 0 });
      const drafted = noGrad(() =>
        scope(() => {
          const order = Int32Array.from({ length: stride * count }, (_, i) => start + Math.floor(i / stride));
          if (stride === 2) for (let i = 1; i < order.length; i += 2) order[i] = 0;
          const index = device.tensor(order);
          const rows = mapStates(states, (state) => embedding(index, state));
          drafter.see(rows);
          drafter.commit(rows, path, Int32Array.from(text.slice(start + 1, length + 1)));
          return drafts ? drafter.draft(numHeads - 1, 2) : null;
        }),
      );
      start = length;
      if (!drafted) continue;
      const tokens = await drafted.data();
      drafted.dispose();
      const firstChoices = Array.from({ length: numHeads - 1 }, (_, depth) => tokens[2 * depth]);
      expect([start, firstChoices]).toEqual([
        start,
        await predictions(model, text.slice(0, length + 1), loss),
      ]);
    }
    for (const state of Object.values(states)) state.dispose();
    const names = declared.reads.map((read) => (typeof read === 'object' ? 'features' : read));
    expect([...given].sort()).toEqual([...names, 'rows'].sort());
  });

  it('draft while decoding what they predict in training', async () => {
    using model = makeModel(nameOf(declared));
    const sampling = fillSampling('test', {}, vocabSize);
    using decoder = new Decoder(model, { sampling, maxDepth: numHeads - 1, capacity: 100 });
    const known = [5, 80, 3];
    await decoder.prefill(known);
    for (let step = 0; step < 6; step++) {
      const { tokens, path } = await decoder.step(chain(numHeads - 1));
      const drafted: number[] = [];
      for (let k = 2; k <= numHeads; k++) drafted.push(await choiceOf(model, k));
      // A replayed step writes to the same tensors without a call of the heads.
      const ofDrafting = outputs;
      outputs = new Map();
      expect([step, drafted]).toEqual([step, await predictions(model, known)]);
      forget();
      outputs = ofDrafting;
      const right = drafted.findIndex((token, i) => token !== tokens[i]);
      expect(path.length - 1).toBe(right < 0 ? drafted.length : right);
      known.push(...tokens);
    }
  });
});

it('an error names the head that returns no state although the next head reads it', () => {
  registerHeadKind({
    kind: 'stateless',
    create: (context) => {
      const heads = new CuriousHeads(curiousKinds[0]!, context);
      const { layers, reads } = heads;
      const forward: Heads['forward'] = (k, inputs) => ({ hidden: heads.forward(k, inputs).hidden });
      return { layers, reads, forward };
    },
  });
  using model = makeModel('stateless');
  for (const loss of [backwardHeadByHead, lossAllHeads]) {
    const run = (): void =>
      scope(() => {
        loss(model, uploadBatch(device, batchOf([1, 2, 3, 4, 5, 6], []), model.heads), {
          weights: [1, 1, 1, 1],
        });
      });
    expect(run).toThrow(foretokenError('UNSUPPORTED', 'forward returned no state for head 2'));
  }
  forget();
});
