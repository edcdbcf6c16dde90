import { chainRows } from '../lib/decode/rows';
import { RankPathStatistics } from '../lib/decode/rank-path-statistics';
import { best, chain, type TreePlan } from '../lib/decode/tree';
import type { MtpModel } from '../lib/model/model';
import type { KvCache } from '../lib/nn/kv-cache';
import { noGrad } from '../lib/tensor/autograd';
import { capture, type Capture } from '../lib/tensor/capture';
import { uploadTrees } from '../lib/tensor/ops/tree-rows';
import { verifyTree, type VerifyTreeResult } from '../lib/tensor/ops/verify-tree';
import { scope } from '../lib/tensor/scope';
import {
  bytesOf,
  ceilings,
  indices,
  interleaved,
  median,
  sizeFor,
  spread,
  type Bench,
  type Report,
  type Setup,
} from './harness';
import { emptyCache, randomModel } from './models';

const PREFIX = 256;
const SIZES = [1, 2, 4, 8, 16, 32, 64];

/** Tree forward and verification by number of nodes, against the one node of plain decoding. */
export const decodeStep: Bench = {
  name: 'decode-step',
  async run(setup, report) {
    const { device, dtype } = setup;
    const small = { layers: 6, hidden: 256 };
    const models = sizeFor(setup, {
      cpu: [{ layers: 8, hidden: 512 }, small],
      gpu: [{ layers: 16, hidden: 2048 }, small],
      emulated: [{ layers: 1, hidden: 64 }],
    });
    // The CPU computes in float32, but reads half as much of matrices in bfloat16.
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

async function fill(model: MtpModel, cache: KvCache): Promise<void> {
  const { device } = model;
  model.table.reserve(PREFIX + 64);
  for (let start = 0; start < PREFIX; start += 64) {
    noGrad(() =>
      scope(() => {
        const rows = chainRows(cache, 64);
        model.nextTokenHidden(model.trunk(device.tensor(indices(64, 256)), rows), rows);
        cache.advance([64]);
      }),
    );
    await device.synchronize();
  }
}

/** The step as generating captures it. */
function captureStep(
  model: MtpModel,
  cache: KvCache,
  { parents, depths }: TreePlan,
): Capture<Pick<VerifyTreeResult, 'path' | 'drawn' | 'counts'>> {
  const { device } = model;
  const length = cache.lengths[0]!;
  return capture(device, () => {
    const tree = uploadTrees(device, [{ parents, length }]);
    const positions = device.tensor(depths.map((depth) => length + depth));
    const tokens = device.tensor(indices(parents.length, 256));
    const rows = { kind: 'cached', cache, tree, positions } as const;
    const hidden = model.nextTokenHidden(model.trunk(tokens, rows), rows);
    return { ...verifyTree({ hidden, weight: model.unembeddingFor(hidden), tokens, tree }) };
  });
}
