// Models that hold NaN: a text ends with an error where the logits of head 1 are NaN, at the same token with any speculation.
import { generate } from '../../lib/decode/generate';
import type { GenerateOptions, Speculation } from '../../lib/decode/options';
import { MtpModel } from '../../lib/model/model';
import { byteTokenizerFiles, createTokenizer } from '../../lib/model/tokenizer';
import type { Device } from '../../lib/tensor/device';
import { isEmulated, onDevice, targets } from '../support/devices';
import { foretokenError } from '../support/errors';
import { headKinds } from '../support/exact';

const tokenizer = createTokenizer(byteTokenizerFiles());
const VOCAB = 6;

/** The last tree holds every token at every depth, so that drafts are accepted and rejected nodes lie beside the path. */
const allSpeculations: readonly Speculation[] = [
  { tree: 'chain' },
  { tree: 'adaptive', maxNodes: 20 },
  'none',
  { tree: 'full', widths: [6, 6] },
];

const allSamplings: readonly GenerateOptions[] = [
  { temperature: 0 },
  { temperature: 1, seed: 5 },
  { temperature: 1, topK: 5, topP: 0.99, minP: 0.001, seed: 2 },
  { temperature: 1, presencePenalty: 0.3 },
];

function makeModel(device: Device, kind: string): MtpModel {
  return new MtpModel(
    device,
    {
      ...{ vocabSize: VOCAB, hiddenSize: 16, numHiddenLayers: 2, numAttentionHeads: 2 },
      ...{ maxPositionEmbeddings: 64, initializerRange: 0.6, tieWordEmbeddings: false },
      mtp: { kind, numHeads: 3 },
    },
    { seed: 11 },
  );
}

/** Sets the parameters whose names begin with `prefix` to NaN, or only their row `row`. */
function spoil(model: MtpModel, prefix: string, row?: number): void {
  const { parameters } = model.parameters;
  const chosen = parameters.filter(({ parts }) => parts[0]!.name.startsWith(prefix));
  expect(chosen).not.toEqual([]);
  for (const { value, shape } of chosen) {
    const part = row === undefined ? value : value.view(row * shape[1]!, [1, shape[1]!]);
    part.write(new Float32Array(part.size).fill(NaN));
    if (part !== value) part.dispose();
  }
  model.parameters.changed();
}

/** Generates a text; returns its tokens and the error that ended it. */
async function outcome(
  model: MtpModel,
  options: GenerateOptions,
): Promise<{ tokens: number[]; error: unknown }> {
  const tokens: number[] = [];
  try {
    const all = { ignoreEos: true, maxTokens: 12, ...options };
    for await (const piece of generate(model, tokenizer, [1, 2, 1], all)) tokens.push(...piece.tokens);
  } catch (error) {
    return { tokens, error };
  }
  return { tokens, error: null };
}

const notNumbers = (position: number): Error =>
  foretokenError('DIVERGED', `no token can be drawn for position ${position}: the logits`);

describe.each(targets)('on %s', (target) => {
  const [speculations, samplings] = isEmulated(target)
    ? [allSpeculations.slice(2), allSamplings.slice(0, 3)]
    : [allSpeculations, allSamplings];

  it('a model of NaN generates only an error, after which the device still works', async () => {
    await onDevice(target, async (device) => {
      using model = makeModel(device, 'parallel');
      spoil(model, '');
      for (const speculation of speculations) {
        for (const sampling of samplings) {
          const ended = await outcome(model, { ...sampling, speculation });
          expect(ended).toEqual({ tokens: [], error: notNumbers(3) });
        }
      }
      using whole = makeModel(device, 'parallel');
      expect(await outcome(whole, { maxTokens: 3 })).toMatchObject({ error: null });
    });
  });

  it.each(headKinds)('%s heads change neither the text before the error nor the error', async (kind) => {
    await onDevice(target, async (device) => {
      for (const sampling of samplings.slice(1)) {
        using model = makeModel(device, kind);
        const { tokens } = await outcome(model, { ...sampling, speculation: 'none' });
        // Spoil the embedding of the token whose first occurrence is latest, so that some tokens precede the error.
        const firsts = Array.from({ length: VOCAB }, (_, token) => tokens.slice(0, -2).indexOf(token));
        const last = Math.max(...firsts.map((first, token) => ([1, 2].includes(token) ? -1 : first)));
        expect(last).toBeGreaterThan(1);
        spoil(model, 'model.embed_tokens', tokens[last]);
        const before = tokens.slice(0, last + 1);
        for (const speculation of speculations) {
          const options = { ...sampling, speculation };
          expect(await outcome(model, options)).toEqual({
            tokens: before,
            error: notNumbers(3 + before.length),
          });
          // A text that ends before the error ends well.
          const short = await outcome(model, { ...options, maxTokens: before.length });
          expect(short).toEqual({ tokens: before, error: null });
        }
      }
    });
  });

  it.each(headKinds)('drafts of %s heads of NaN do not change the text', async (kind) => {
    await onDevice(target, async (device) => {
      using model = makeModel(device, kind);
      const expected: unknown[] = [];
      for (const sampling of samplings)
        expected.push(await outcome(model, { ...sampling, speculation: 'none' }));
      // Modules that published models have keep the names that they have there.
      spoil(model, kind === 'recursive' ? 'model.layers.2.' : 'mtp.');
      for (const [i, sampling] of samplings.entries()) {
        for (const speculation of speculations) {
          expect(await outcome(model, { ...sampling, speculation })).toEqual(expected[i]);
        }
      }
      expect(expected[0]).toMatchObject({ error: null });
    });
  });
});
