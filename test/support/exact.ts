// Random models, trees, sampling options and prompts, and the property that holds for all of them.
import fc from 'fast-check';
import { generate } from '../../lib/decode/generate';
import { MAX_DRAFT_NODES, type GenerateOptions, type Speculation } from '../../lib/decode/options';
import { MtpModel, type ModelInit } from '../../lib/model/model';
import type { ModelOptions } from '../../lib/model/config';
import { byteTokenizerFiles, createTokenizer } from '../../lib/model/tokenizer';
import type { Device } from '../../lib/tensor/device';
import { Random } from './random';

const tokenizer = createTokenizer(byteTokenizerFiles());

export const headKinds = ['parallel', 'medusa', 'rooted', 'sequential', 'recursive'] as const;

/** Sizes of models and texts. */
export interface Scale {
  /** A multiple of 8. */
  hiddenSize: number;
  layers: number;
  heads: number;
  promptTokens: number;
  newTokens: number;
  /** At each depth of full trees. */
  width: number;
}

export const small: Scale = {
  hiddenSize: 32,
  layers: 2,
  heads: 5,
  promptTokens: 90,
  newTokens: 24,
  width: 3,
};

export interface ModelCase {
  kind: string;
  numHeads: number;
  seed: number;
  tied: boolean;
  /** The last one has recurrent layers. */
  modelType: 'llama' | 'qwen2' | 'qwen3' | 'qwen3_5_text';
}

/** Options of a model whose layers are recurrent or have attention at random, at least one of them recurrent. */
function hybrid(seed: number, layers: number): Partial<ModelOptions> {
  const random = new Random(seed);
  const types = Array.from({ length: layers }, () => random.integer(2) === 0);
  types[random.integer(layers)] = true;
  const keyHeads = 1 + random.integer(2);
  return {
    layerTypes: types.map((isRecurrent) => (isRecurrent ? 'linear_attention' : 'full_attention')),
    linearNumKeyHeads: keyHeads,
    linearNumValueHeads: keyHeads * (1 + random.integer(2)),
    linearKeyHeadDim: 16 * (1 + random.integer(2)),
    linearValueHeadDim: 16 * (1 + random.integer(2)),
    linearConvKernelDim: 2 + random.integer(3),
  };
}

/** Makes a random model with weights large enough that its choices differ. */
export function randomModel(
  device: Device,
  { kind, numHeads, seed, tied, modelType }: ModelCase,
  { hiddenSize, layers, promptTokens, newTokens }: Scale = small,
  dtype?: ModelInit['dtype'],
): MtpModel {
  return new MtpModel(
    device,
    {
      modelType,
      ...(modelType === 'qwen3_5_text' && hybrid(seed, layers)),
      vocabSize: tokenizer.vocabSize,
      hiddenSize,
      intermediateSize: (hiddenSize * 3) / 2,
      numHiddenLayers: layers,
      numAttentionHeads: 4,
      numKeyValueHeads: 2,
      // The longest texts reach the last positions, where trees no longer fit.
      maxPositionEmbeddings: promptTokens + newTokens,
      tieWordEmbeddings: tied,
      // Sums of products grow with the square root of their length.
      initializerRange: 0.3 * Math.sqrt(32 / hiddenSize),
      mtp: { kind, numHeads },
    },
    // The model is not trained.
    { seed, dtype, masters: false },
  );
}

export async function tokensOf(
  model: MtpModel,
  prompt: number[],
  options: GenerateOptions,
): Promise<number[]> {
  const tokens: number[] = [];
  for await (const piece of generate(model, tokenizer, prompt, options)) tokens.push(...piece.tokens);
  return tokens;
}

export function modelCases({ heads }: Scale, kinds: readonly string[]): fc.Arbitrary<ModelCase> {
  return fc.record({
    kind: fc.constantFrom(...kinds),
    numHeads: fc.integer({ min: 2, max: heads }),
    seed: fc.nat(1000),
    tied: fc.boolean(),
    modelType: fc.constantFrom('llama', 'qwen2', 'qwen3', 'qwen3_5_text'),
  });
}

/** The first of these widths that make a tree of at most 63 nodes. */
function thatFit(widths: readonly number[]): number[] {
  const fitting: number[] = [];
  let [level, nodes] = [1, 0];
  for (const width of widths) {
    level *= width;
    nodes += level;
    if (nodes > MAX_DRAFT_NODES) break;
    fitting.push(width);
  }
  return fitting;
}

/** Trees for a model with `heads` heads. */
export function speculations(heads: number, width: number): fc.Arbitrary<Speculation> {
  const widths = fc.array(fc.integer({ min: 1, max: width }), {
    minLength: 1,
    maxLength: Math.min(3, heads - 1),
  });
  const nodes = fc.integer({ min: 0, max: MAX_DRAFT_NODES });
  return fc.oneof(
    fc.record({ tree: fc.constant('chain' as const), depth: fc.integer({ min: 0, max: heads - 1 }) }),
    fc.record({ tree: fc.constant('full' as const), widths: widths.map(thatFit) }),
    fc.record({ tree: fc.constant('best' as const), nodes }),
    fc.record({ tree: fc.constant('adaptive' as const), maxNodes: nodes }),
  );
}

export const samplings: fc.Arbitrary<GenerateOptions> = fc.oneof(
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

/** Which cases {@link checkExact} takes. */
export interface ExactCases {
  runs: number;
  scale?: Scale;
  kinds?: readonly string[];
  /** Type of the models. */
  dtype?: ModelInit['dtype'];
}

/** Checks random cases: output with any speculation equals output with none, token for token. */
export async function checkExact(
  device: Device,
  { runs, scale = small, kinds = headKinds, dtype }: ExactCases,
): Promise<void> {
  const { promptTokens, newTokens, width } = scale;
  const scenario = modelCases(scale, kinds).chain((model) =>
    fc.record({
      model: fc.constant(model),
      speculation: speculations(model.numHeads, width),
      sampling: samplings,
      prompt: fc.array(fc.nat(255), { minLength: 1, maxLength: promptTokens, size: 'max' }),
    }),
  );
  await fc.assert(
    fc.asyncProperty(scenario, async ({ model: description, speculation, sampling, prompt }) => {
      using model = randomModel(device, description, scale, dtype);
      const options = { ...sampling, maxTokens: newTokens, ignoreEos: true };
      const plain = await tokensOf(model, prompt, { ...options, speculation: 'none' });
      expect(plain).toHaveLength(newTokens);
      expect(await tokensOf(model, prompt, { ...options, speculation })).toEqual(plain);
    }),
    { numRuns: runs },
  );
}
