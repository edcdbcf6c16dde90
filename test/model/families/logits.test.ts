// Every family computes what its reference implementation does: logits, in training's rows and in decoding's, equal those of a forward
// pass in float64 that reads the same checkpoint.
import { loadModel } from '../../../lib/model/load';
import { saveModel } from '../../../lib/model/checkpoint';
import { readSafetensors } from '../../../lib/model/safetensors';
import type { MtpModel } from '../../../lib/model/model';
import { noGrad } from '../../../lib/tensor/autograd';
import type { DraftedSequence } from '../../../lib/decode/user-drafts';
import { openDevice } from '../../../lib/tensor/device';
import { linear } from '../../../lib/tensor/ops/linear/linear';
import { scope } from '../../../lib/tensor/scope';
import { CONFIGS, namedTensors, randomCheckpoint, writeCheckpoint } from '../../support/checkpoints';
import { tokensOf } from '../../support/exact';
import { Random } from '../../support/random';
import { ReferenceModel } from '../../support/reference-model';
import { rowsOfText } from '../../support/rows-of-text';
import { TemporaryDirectory } from '../../support/temporary';
import { relativeError, tokenizer } from '../../support/training';

const temporary = new TemporaryDirectory();
const length = 40;
const random = new Random(3);
const text = Array.from({ length }, () => random.integer(260));

async function logitsOf(model: MtpModel, tokens: readonly number[]): Promise<Float32Array> {
  const { device } = model;
  const ints = (values: readonly number[]) => device.tensor(Int32Array.from(values));
  using logits = noGrad(() =>
    scope(() => {
      const { hidden } = model.states(ints(tokens), rowsOfText(model, tokens.length));
      return linear(hidden, model.unembeddingFor(hidden), null);
    }),
  );
  return (await logits.data()) as Float32Array;
}

describe.each(Object.entries(CONFIGS))('%s', (_, json) => {
  const checkpoint = randomCheckpoint(json);
  const reference = new ReferenceModel(json, checkpoint);

  it('has the logits of the reference', async () => {
    using device = openDevice('cpu', { threads: 1, poison: true });
    const directory = await writeCheckpoint(temporary, json, namedTensors(checkpoint));
    using model = (await loadModel(device, directory)).model;
    const expected = reference.logits(reference.states(text).hidden).flatMap((row) => [...row]);
    expect(relativeError(await logitsOf(model, text), Float32Array.from(expected))).toBeLessThan(5e-6);
  });

  it('decodes what the reference decodes', async () => {
    using device = openDevice('cpu', { threads: 1, poison: true });
    const directory = await writeCheckpoint(temporary, json, namedTensors(checkpoint));
    using model = (await loadModel(device, directory)).model;
    const prompt = text.slice(0, 9);
    const expected = [...prompt];
    for (let i = 0; i < 18; i++) {
      const logits = reference.logits([reference.states(expected).hidden.at(-1)!])[0]!;
      expected.push(logits.indexOf(Math.max(...logits)));
    }
    // Drafts the next token and a wrong one, and below each the token after it.
    const draft = ({ tokens: { length: count } }: DraftedSequence) => ({
      tokens: [expected[count]!, 7, expected[count + 1]!, expected[count + 1]!],
      parents: [-1, -1, 0, 1],
    });
    const common = { maxTokens: 16, ignoreEos: true };
    const plain = await tokensOf(model, prompt, { ...common, speculation: 'none' });
    expect([...prompt, ...plain]).toEqual(expected.slice(0, -2));
    const drafted = await tokensOf(model, prompt, {
      ...common,
      speculation: { tree: 'best', nodes: 4 },
      draft,
    });
    expect(drafted).toEqual(plain);
  });

  it('is saved with the names, keys and values that it had', async () => {
    using device = openDevice('cpu', { threads: 1, poison: true });
    const directory = await writeCheckpoint(temporary, json, namedTensors(checkpoint));
    using model = (await loadModel(device, directory)).model;
    await saveModel(temporary.at('again'), model, tokenizer);
    using again = (await loadModel(device, temporary.at('again'))).model;
    expect(again.config).toEqual(model.config);
    const file = await readSafetensors(temporary.at('again'));
    expect([...file.names].sort()).toEqual([...checkpoint.keys()].sort());
    for (const [name, { shape, values }] of checkpoint) {
      expect([name, file.info(name)]).toEqual([name, { dtype: 'F32', shape }]);
      const error = relativeError((await file.read(name)) as Float32Array, Float32Array.from(values));
      expect([name, error < 3e-7 ? 'same' : error]).toEqual([name, 'same']);
    }
    await file.close();
    expect(await logitsOf(again, text)).toEqual(await logitsOf(model, text));
  });
});
