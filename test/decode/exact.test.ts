import fc from 'fast-check';
import { generate } from '../../lib/decode/generate';
import type { GenerateOptions, Speculation } from '../../lib/decode/options';
import { MtpModel } from '../../lib/model/model';
import { byteTokenizerFiles, createTokenizer } from '../../lib/model/tokenizer';
import { native } from '../../lib/native/load';
import { openDevice, type Device, type DeviceOptions } from '../../lib/tensor/device';

const tokenizer = createTokenizer(byteTokenizerFiles());

interface Case {
  kind: string;
  numHeads: number;
  seed: number;
  tied: boolean;
  modelType: 'llama' | 'qwen2' | 'qwen3';
}

/** A random model whose weights are large enough that its choices are not all alike. */
function randomModel(device: Device, { kind, numHeads, seed, tied, modelType }: Case): MtpModel {
  return new MtpModel(
    device,
    {
      modelType,
      vocabSize: tokenizer.vocabSize,
      hiddenSize: 32,
      intermediateSize: 48,
      numHiddenLayers: 2,
      numAttentionHeads: 4,
      numKeyValueHeads: 2,
      maxPositionEmbeddings: 256,
      tieWordEmbeddings: tied,
      initializerRange: 0.3,
      mtp: { kind, numHeads },
    },
    { seed },
  );
}

async function tokensOf(model: MtpModel, prompt: number[], options: GenerateOptions): Promise<number[]> {
  const tokens: number[] = [];
  for await (const piece of generate(model, tokenizer, prompt, options)) tokens.push(...piece.tokens);
  return tokens;
}

const cases: fc.Arbitrary<Case> = fc.record({
  kind: fc.constantFrom('parallel', 'medusa', 'rooted', 'sequential'),
  numHeads: fc.integer({ min: 2, max: 5 }),
  seed: fc.nat(1000),
  tied: fc.boolean(),
  modelType: fc.constantFrom('llama', 'qwen2', 'qwen3'),
});

/** Trees for a model with `heads` heads. */
function speculations(heads: number): fc.Arbitrary<Speculation> {
  return fc.oneof(
    fc.record({ tree: fc.constant('chain' as const), depth: fc.integer({ min: 0, max: heads - 1 }) }),
    fc.record({
      tree: fc.constant('full' as const),
      widths: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: Math.min(3, heads - 1) }),
    }),
    fc.record({ tree: fc.constant('best' as const), nodes: fc.integer({ min: 0, max: 63 }) }),
    fc.record({ tree: fc.constant('adaptive' as const), maxNodes: fc.integer({ min: 0, max: 63 }) }),
  );
}

const samplings: fc.Arbitrary<GenerateOptions> = fc.oneof(
  fc.constant({ temperature: 0 }),
  fc.record(
    {
      temperature: fc.constantFrom(0, 0.3, 1, 2),
      seed: fc.nat(),
      topK: fc.integer({ min: 1, max: 40 }),
      topP: fc.constantFrom(0.3, 0.9, 1),
      minP: fc.constantFrom(0, 0.05, 0.5),
      repetitionPenalty: fc.constantFrom(0.8, 1, 1.3),
      frequencyPenalty: fc.constantFrom(-0.5, 0, 0.4),
      presencePenalty: fc.constantFrom(-0.5, 0, 0.4),
      logitBias: fc.constantFrom(
        new Map([[10, 2]]),
        new Map([
          [5, -100],
          [101, 1.5],
        ]),
      ),
    },
    { requiredKeys: [] },
  ),
);

const prompts = fc.array(fc.nat(255), { minLength: 1, maxLength: 90 });

const scenario = cases.chain((model) =>
  fc.record({
    model: fc.constant(model),
    speculation: speculations(model.numHeads),
    sampling: samplings,
    prompt: prompts,
  }),
);

async function checkExact(deviceOptions: DeviceOptions, runs: number): Promise<void> {
  using device = openDevice('cpu', deviceOptions);
  await fc.assert(
    fc.asyncProperty(scenario, async ({ model: description, speculation, sampling, prompt }) => {
      using model = randomModel(device, description);
      const options = { ...sampling, maxTokens: 24, ignoreEos: true };
      const plain = await tokensOf(model, prompt, { ...options, speculation: 'none' });
      expect(plain).toHaveLength(24);
      expect(await tokensOf(model, prompt, { ...options, speculation })).toEqual(plain);
    }),
    { numRuns: runs },
  );
}

describe('output with any speculation is the output with none, token for token', () => {
  for (const isa of native.cpuInfo().isaLevels as ('baseline' | 'avx2' | 'avx512')[]) {
    for (const threads of [1, 2, 3]) {
      it(`on ${isa} with ${threads} threads`, () => checkExact({ isa, threads }, 12), 60_000);
    }
  }

  it('and does not depend on the number of threads', async () => {
    const outputs = [];
    for (const threads of [1, 2, 4]) {
      using device = openDevice('cpu', { threads });
      const description: Case = { kind: 'sequential', numHeads: 4, seed: 7, tied: true, modelType: 'llama' };
      using model = randomModel(device, description);
      outputs.push(
        await tokensOf(model, [1, 2, 3], { temperature: 0.8, seed: 5, maxTokens: 64, ignoreEos: true }),
      );
    }
    expect(outputs[1]).toEqual(outputs[0]);
    expect(outputs[2]).toEqual(outputs[0]);
  });
});
