import { backwardHeadByHead, uploadBatch, type TrainingBatch } from '../lib/model/loss';
import type { MtpModel } from '../lib/model/model';
import { scope } from '../lib/tensor/scope';
import { AdamW } from '../lib/train/optimizer';
import { ceilings, indices, rate, time, type Bench } from './harness';
import { forwardFlops, randomModel } from './models';

const [BATCH, LENGTH] = [8, 256];

/** A whole training step, optimizer included; and the peak of its memory by number of heads, trained one by one. */
export const trainStep: Bench = {
  name: 'train-step',
  async run(device, report) {
    {
      using model = randomModel(device, { layers: 8, hidden: 320 });
      const step = trainingStep(model);
      const before = await ceilings(device);
      const samples = await time(device, step, { repeats: 5, seconds: 3 });
      const after = await ceilings(device);
      // Forward once, backward twice; a row sees half of the row before it on average.
      const flops = 3 * BATCH * LENGTH * forwardFlops(model, LENGTH / 2);
      const params = { parameters: model.parameters.size, n: 1, batch: BATCH, T: LENGTH };
      const ceiling = (before.flopsPerSecond + after.flopsPerSecond) / 2;
      report(rate('train-step/step', params, 'flop/s', flops, samples, ceiling));
    }
    let ofOne: number | null = null;
    for (const n of [1, 2, 4, 8]) {
      using model = randomModel(device, { layers: 4, hidden: 256, mtp: { kind: 'parallel', numHeads: n } });
      const step = trainingStep(model);
      step();
      await device.synchronize();
      device.resetPeak();
      const { live } = device.memory();
      step();
      await device.synchronize();
      const activations = device.memory().peak - live;
      ofOne ??= activations;
      report({
        name: 'train-step/activations',
        params: { n, batch: BATCH, T: LENGTH },
        unit: 'byte',
        median: activations,
        spread: 0,
        ceiling: ofOne,
        fraction: activations / ofOne,
      });
    }
  },
};

function trainingStep(model: MtpModel): () => void {
  const { device, numHeads } = model;
  const optimizer = new AdamW(model.parameters, {});
  const count = BATCH * LENGTH;
  const batch: TrainingBatch = {
    batch: BATCH,
    length: LENGTH,
    tokens: indices(count, 256),
    starts: new Int32Array(count),
    targets: Array.from({ length: numHeads }, () => indices(count, 256)),
  };
  model.table.reserve(LENGTH);
  return () =>
    scope(() => {
      model.parameters.zeroGradients();
      const onDevice = uploadBatch(device, batch, model.heads);
      backwardHeadByHead(model, onDevice, { weights: new Array<number>(numHeads).fill(1 / count) });
      optimizer.update(1e-4);
    });
}
