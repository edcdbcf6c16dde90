import { Engine, type StepWork } from '../lib/decode/engine';
import type { DraftTree } from '../lib/decode/draft-tree';
import { newSequence } from '../lib/decode/sequence';
import { best } from '../lib/decode/tree';
import { RankPathStatistics } from '../lib/decode/rank-path-statistics';
import type { ModelOptions } from '../lib/model/config';
import { MtpModel } from '../lib/model/model';
import { noGrad } from '../lib/tensor/autograd';
import { capture, type Capture } from '../lib/tensor/capture';
import type { Device } from '../lib/tensor/device';
import { uploadTrees } from '../lib/tensor/ops/attention/tree-rows';
import { packRows, PACKED_ROWS } from '../lib/tensor/ops/linear/linear';
import { commitRecurrent } from '../lib/tensor/ops/recurrent/commit-recurrent';
import { gatedDelta } from '../lib/tensor/ops/recurrent/gated-delta';
import { shortConvolution } from '../lib/tensor/ops/recurrent/short-convolution';
import { fillSampling } from '../lib/tensor/ops/sampling/sampling';
import { RecurrentStates, type RecurrentStatesOptions } from '../lib/tensor/recurrent-states';
import {
  bare,
  bytesOf,
  ceilings,
  indices,
  interleaved,
  median,
  numbers,
  randomTensor,
  sizeFor,
  spread,
  type Bench,
  type Setup,
} from './harness';

const SIZES = [1, 2, 4, 8, 16, 32];
const PROMPT = 128;
const DRAFT_VOCABULARY = 32768;

const typesOf = (layers: number): ModelOptions['layerTypes'] =>
  Array.from({ length: layers }, (_, layer) => (layer % 4 === 3 ? 'full_attention' : 'linear_attention'));

/** The shape of Qwen3.5-0.8B. */
const QWEN3_5: ModelOptions = {
  layerTypes: typesOf(24),
  ...{
    modelType: 'qwen3_5_text',
    vocabSize: 248320,
    hiddenSize: 1024,
    intermediateSize: 3584,
    numHiddenLayers: 24,
  },
  ...{
    numAttentionHeads: 8,
    numKeyValueHeads: 2,
    headDim: 256,
    partialRotaryFactor: 0.25,
    tieWordEmbeddings: true,
  },
  ...{ linearNumKeyHeads: 16, linearNumValueHeads: 16, linearKeyHeadDim: 128, linearValueHeadDim: 128 },
  ...{ linearConvKernelDim: 4, maxPositionEmbeddings: 2048, mtp: { kind: 'recursive', numHeads: 2 } },
};
const SMALL: ModelOptions = {
  ...QWEN3_5,
  layerTypes: typesOf(4),
  ...{
    vocabSize: 257,
    hiddenSize: 64,
    intermediateSize: 64,
    numHiddenLayers: 4,
    headDim: 32,
    numAttentionHeads: 2,
  },
  ...{ linearNumKeyHeads: 1, linearNumValueHeads: 2, linearKeyHeadDim: 16, linearValueHeadDim: 16 },
};

/** Measures steps of a model with recurrent layers: plain ones, trees by their size, the share of the recurrent operations, and drafts. */
export const hybridStep: Bench = {
  name: 'hybrid-step',
  async run(setup, report) {
    const { device } = setup;
    const options = sizeFor(setup, { cpu: QWEN3_5, gpu: QWEN3_5, emulated: SMALL });
    const dtype = device.packs('int8') ? 'int8' : setup.dtype;
    using model = new MtpModel(device, options, {
      dtype,
      masters: false,
      ...(dtype !== 'int8' && { seed: 1 }),
    });
    if (dtype === 'int8') fillPacked(model);
    model.draftVocabulary = indices(model.config.vocabSize, model.config.vocabSize)
      .map((_, i) => i)
      .subarray(0, Math.min(DRAFT_VOCABULARY, model.config.vocabSize));
    const rates = await ceilings(device);
    const steps = await measureSteps(model);
    const module = model.parameters.parameters.filter(({ parts }) => parts[0]!.name.startsWith('mtp.'));
    const parameters = model.parameters.size - module.reduce((sum, { size }) => sum + size, 0);
    const params = { parameters, dtype };
    const plain = median(steps.plain[0]!);
    const bytes = bytesOf(dtype) * parameters;
    report({
      ...{
        name: 'hybrid-step/plain',
        params,
        unit: 'byte/s',
        median: bytes / plain,
        spread: spread(steps.plain[0]!),
      },
      ...{ ceiling: rates.readBytesPerSecond, fraction: bytes / plain / rates.readBytesPerSecond },
    });
    const relative = (name: string, more: Record<string, number>, samples: number[]): void =>
      report({
        ...{
          name: `hybrid-step/${name}`,
          params: { ...more, ...params },
          unit: 's',
          median: median(samples),
        },
        ...{ spread: spread(samples), ceiling: plain, fraction: median(samples) / plain },
      });
    SIZES.forEach((nodes, i) => relative('tree', { nodes }, steps.plain[i]!));
    relative('draft', { vocabulary: model.draftVocabSize }, steps.draft);
    const recurrent = await measureOperations(setup, model);
    SIZES.forEach((nodes, i) => relative('recurrent-operations', { nodes }, recurrent[i]!));
    using cache = model.createCache(1);
    cache.reserve(0, 1);
    report(bare('hybrid-step/bytes-of-a-state', params, 'byte', [cache.recurrent!.states.bytes]));
  },
};

/** Fills all matrices with random numbers. Zeros would not do: the system lends one page of them for all. */
function fillPacked({ device, parameters }: MtpModel): void {
  for (const { value, shape } of parameters.packedAlone) {
    const [rows, width] = shape as [number, number];
    const step = 16 * PACKED_ROWS;
    for (let row = 0; row < rows; row += step) {
      const count = Math.min(step, rows - row);
      using block = device.tensor(numbers(count * width, 0.05, row + 1), [count, width]);
      packRows(value, row, block);
    }
  }
}

function treeOf(root: number, nodes: number, vocabSize: number): DraftTree {
  const plan = nodes === 1 ? null : best(nodes - 1, new RankPathStatistics(4));
  const parents = plan ? Array.from(plan.parents) : [-1];
  const depths = plan ? Array.from(plan.depths) : [0];
  const tokens = parents.map((_, i) => (i === 0 ? root : (root + 7919 * i) % vocabSize));
  return { tokens, parents, depths, maxDepth: Math.max(...depths) };
}

/** Times steps of an engine without drafting, by nodes, and the drafting of one token. */
async function measureSteps(model: MtpModel): Promise<{ plain: number[][]; draft: number[] }> {
  const { vocabSize } = model.config;
  using engine = new Engine(model, { slots: 1, draftDepth: 1 });
  const sequence = newSequence(indices(PROMPT, vocabSize), fillSampling('hybrid-step', {}, vocabSize));
  engine.admit(sequence);
  const step = async (nodes: number, drafts: boolean): Promise<[seconds: number, draft: number]> => {
    const tree = treeOf(sequence.tokens.at(-1)!, nodes, vocabSize);
    const proposal = drafts ? { depth: 1, width: 1 } : null;
    const work: StepWork = { sequence, tree, constraints: null, proposal };
    const start = performance.now();
    const { seconds } = await engine.step([work]);
    return [(performance.now() - start) / 1000, seconds.draft];
  };
  while (sequence.length < PROMPT - 1) await step(1, false);
  const plain = SIZES.map((): number[] => []);
  const draft: number[] = [];
  // The first round makes the captures.
  for (let round = 0; round <= 15; round++) {
    for (const [i, nodes] of SIZES.entries()) {
      const [seconds] = await step(nodes, false);
      if (round > 0) plain[i]!.push(seconds);
    }
    const [, seconds] = await step(1, true);
    if (round > 0) draft.push(seconds);
  }
  return { plain, draft };
}

/** Times the operations on the states alone, of all recurrent layers, by nodes: for a tree, and the commit of its root. */
async function measureOperations(setup: Setup, model: MtpModel): Promise<number[][]> {
  const { device } = model;
  const { config } = model;
  const options: RecurrentStatesOptions = {
    layers: config.layerTypes!.filter((type) => type === 'linear_attention').length,
    keyHeads: config.linearNumKeyHeads!,
    valueHeads: config.linearNumValueHeads!,
    keyDim: config.linearKeyHeadDim!,
    valueDim: config.linearValueHeadDim!,
    taps: config.linearConvKernelDim!,
    sequences: 1,
  };
  using states = new RecurrentStates(device, options);
  states.reserve(0);
  const captures = SIZES.map((nodes) => captureOperations(setup, device, states, options, nodes));
  const samples = await interleaved(
    device,
    captures.map((each) => () => each.replay()),
    { seconds: 2 },
  );
  for (const each of captures) each.dispose();
  return samples;
}

function captureOperations(
  setup: Setup,
  device: Device,
  states: RecurrentStates,
  { layers, valueHeads, taps }: RecurrentStatesOptions,
  nodes: number,
): Capture<Record<string, never>> {
  const { parents } = treeOf(1, nodes, 1000);
  const tree = uploadTrees(device, [{ parents: Int32Array.from(parents), length: 0 }]);
  const float = { ...setup, dtype: 'float32' } as const;
  const x = randomTensor(float, [nodes, states.channels]);
  const weight = randomTensor(float, [states.channels, taps]);
  const [a, b] = [randomTensor(float, [nodes, valueHeads]), randomTensor(float, [nodes, valueHeads])];
  const [decay, bias] = [randomTensor(float, [valueHeads]), randomTensor(float, [valueHeads])];
  const path = device.tensor(Int32Array.of(0), [1, 1]);
  const counts = device.tensor(Int32Array.of(1));
  return capture(device, () => {
    noGrad(() => {
      for (let layer = 0; layer < layers; layer++) {
        const qkv = shortConvolution(states, layer, x, weight, tree);
        const inputs = { qkv, a, b, decay, bias };
        gatedDelta(states, layer, inputs, tree);
        commitRecurrent(states, layer, { x, ...inputs }, tree.rowOffsets, path, counts);
      }
    });
    return {};
  });
}
