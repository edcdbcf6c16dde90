import { nextPositions } from '../lib/decode/next-positions';
import { RankPathStatistics } from '../lib/decode/rank-path-statistics';
import { best, chain } from '../lib/decode/tree';
import type { TreePlan } from '../lib/decode/tree-plan';
import type { MtpModel } from '../lib/model/model';
import { native } from '../lib/native/load';
import type { ModelCache } from '../lib/nn/model-cache';
import { noGrad } from '../lib/tensor/autograd';
import { capture, type Capture } from '../lib/tensor/capture';
import { uploadTrees } from '../lib/tensor/ops/attention/tree-rows';
import { verifyTree, type VerifyTreeResult } from '../lib/tensor/ops/sampling/verify-tree';
import { scope } from '../lib/tensor/scope';
import {
  bare,
  bytesOf,
  ceilings,
  duration,
  indices,
  interleaved,
  median,
  sizeFor,
  spread,
  type Bench,
  type Report,
  type Result,
  type Setup,
} from './harness';
import { emptyCache, randomModel } from './models';

const PREFIX = 256;
const SIZES = [1, 2, 4, 8, 16, 32, 64];

/** Measures forward pass and verification by number of nodes, against plain decoding with one node; and the time that capturing saves. */
export const decodeStep: Bench = {
  name: 'decode-step',
  async run(setup, report) {
    const { device, dtype } = setup;
    const small = { layers: 6, hidden: 256 };
    const models = sizeFor(setup, {
      cpu: [{ layers: 8, hidden: 512 }, small],
      gpu: [{ layers: 8, hidden: 2048 }, small],
      emulated: [{ layers: 1, hidden: 64 }],
    });
    // The CPU computes in float32, but reads half as many bytes of matrices in bfloat16.
    const dtypes = device.name === 'cpu' ? (['float32', 'bfloat16'] as const) : [dtype];
    for (const size of models) {
      for (const stored of dtypes) await measure({ ...setup, dtype: stored }, size, report);
    }
  },
};

async function measure(
  setup: Setup,
  size: { layers: number; hidden: number },
  report: Report,
): Promise<void> {
  const { device, dtype } = setup;
  using model = randomModel(setup, size, { masters: false });
  using cache = emptyCache(model, PREFIX + 64);
  await fill(model, cache);
  const statistics = new RankPathStatistics(4);
  const plans = SIZES.map((size) => (size === 1 ? chain(0) : best(size - 1, statistics)));
  const steps = plans.map((plan) => captureStep(model, cache, plan));
  const rates = await ceilings(device);
  const samples = await interleaved(
    device,
    steps.map((step) => () => step.replay()),
    { seconds: 4 },
  );
  for (const step of steps) step.dispose();
  await measureCalls(model, cache, { parameters: model.parameters.size, dtype }, report);
  const bytes = bytesOf(dtype) * model.parameters.size;
  const plain = median(samples[0]!);
  const parameters = model.parameters.size;
  report({
    name: 'decode-step/plain',
    params: { parameters, prefix: PREFIX, dtype },
    unit: 'byte/s',
    median: bytes / plain,
    spread: spread(samples[0]!),
    ceiling: rates.readBytesPerSecond,
    fraction: bytes / plain / rates.readBytesPerSecond,
  });
  SIZES.forEach((nodes, i) =>
    report({
      name: 'decode-step/tree',
      params: { parameters, nodes, prefix: PREFIX, dtype },
      unit: 's',
      median: median(samples[i]!),
      spread: spread(samples[i]!),
      ceiling: plain,
      fraction: median(samples[i]!) / plain,
    }),
  );
}

async function fill(model: MtpModel, cache: ModelCache): Promise<void> {
  const { device } = model;
  model.tables.reserve(PREFIX + 64);
  for (let start = 0; start < PREFIX; start += 64) {
    noGrad(() =>
      scope(() => {
        const rows = nextPositions(cache, 64);
        model.states(device.tensor(indices(64, 256)), rows);
        cache.advance([64]);
      }),
    );
    await device.synchronize();
  }
}

type StepResult = Pick<VerifyTreeResult, 'path' | 'drawn' | 'counts'>;

/** Enqueues the step. */
function enqueueStep(model: MtpModel, cache: ModelCache, { parents, depths }: TreePlan): StepResult {
  const { device } = model;
  const length = cache.lengths[0]!;
  const tree = uploadTrees(device, [{ parents, length }]);
  const positions = device.tensor(depths.map((depth) => length + depth));
  const tokens = device.tensor(indices(parents.length, 256));
  const rows = { kind: 'cached', cache, tree, positions } as const;
  const { hidden } = model.states(tokens, rows);
  return { ...verifyTree({ hidden, weight: model.unembeddingFor(hidden), tokens, tree }) };
}

/** Captures the step as `generate` does. */
function captureStep(model: MtpModel, cache: ModelCache, plan: TreePlan): Capture<StepResult> {
  return capture(model.device, () => enqueueStep(model, cache, plan));
}

/** Measures a plain step enqueued call by call against the same step captured, and the overhead of each call. */
async function measureCalls(
  model: MtpModel,
  cache: ModelCache,
  params: Result['params'],
  report: Report,
): Promise<void> {
  const { device } = model;
  const enqueue = (): void => noGrad(() => scope(() => void enqueueStep(model, cache, chain(0))));
  using captured = captureStep(model, cache, chain(0));
  const calls = callsOf(enqueue);
  const [apart, whole] = await interleaved(device, [enqueue, () => captured.replay()], { seconds: 2 });
  const given = { ...params, calls };
  report(duration('decode-step/call-by-call', given, apart!, median(whole!)));
  const each = apart!.map((seconds, i) => (seconds - whole![i]!) / calls);
  report(bare('decode-step/overhead-of-a-call', given, 's', each));
}

/** Counts the calls to functions of the addon. */
function callsOf(work: () => void): number {
  const functions = native as unknown as Record<string, unknown>;
  const own = { ...functions };
  let calls = 0;
  try {
    for (const [name, call] of Object.entries(own)) {
      if (typeof call !== 'function') continue;
      functions[name] = (...given: unknown[]): unknown => {
        calls++;
        return (call as (...given: unknown[]) => unknown)(...given);
      };
    }
    work();
  } finally {
    Object.assign(functions, own);
  }
  return calls;
}
