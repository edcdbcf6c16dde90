import { backwardHeadByHead, uploadBatch, type TrainingBatch } from '../lib/train/loss';
import type { MtpModel } from '../lib/model/model';
import { scope } from '../lib/tensor/scope';
import { AdamW } from '../lib/train/optimizer';
import { ceilings, indices, productRate, rate, sizeFor, time, type Bench } from './harness';
import { forwardFlops, randomModel } from './models';

interface Shape {
  batch: number;
  length: number;
}

/** Measures a whole training step with optimizer, and its peak memory by number of heads. */
export const trainStep: Bench = {
  name: 'train-step',
  async run(setup, report) {
    const { device, dtype } = setup;
    const { shape, whole, headed } = sizeFor(setup, {
      cpu: {
        shape: { batch: 8, length: 256 },
        whole: { layers: 8, hidden: 320 },
        headed: { layers: 4, hidden: 256 },
      },
      gpu: {
        shape: { batch: 16, length: 1024 },
        whole: { layers: 12, hidden: 1024 },
        headed: { layers: 6, hidden: 512 },
      },
      emulated: {
        shape: { batch: 2, length: 8 },
        whole: { layers: 1, hidden: 64 },
        headed: { layers: 1, hidden: 64 },
      },
    });
    const { batch, length } = shape;
    {
      using model = randomModel(setup, whole);
      const step = trainingStep(model, shape);
      const before = await ceilings(device);
      const samples = await time(device, step, { repeats: 5, seconds: 3 });
      const after = await ceilings(device);
      // One forward pass, and a backward pass of twice the cost; a token attends to half of its row on average.
      const flops = 3 * batch * length * forwardFlops(model, length / 2);
      const params = { parameters: model.parameters.size, n: 1, batch, T: length, dtype };
      const ceiling = (productRate(before, dtype) + productRate(after, dtype)) / 2;
      report(rate('train-step/step', params, 'flop/s', flops, samples, ceiling));
    }
    let ofOne: number | null = null;
    for (const n of [1, 2, 4, 8]) {
      using model = randomModel(setup, { ...headed, mtp: { kind: 'parallel', numHeads: n } });
      const step = trainingStep(model, shape);
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
        params: { n, batch, T: length, dtype },
        unit: 'byte',
        median: activations,
        spread: 0,
        ceiling: ofOne,
        fraction: activations / ofOne,
      });
    }
  },
};

function trainingStep(model: MtpModel, { batch: rows, length }: Shape): () => void {
  const { device, numHeads } = model;
  const optimizer = new AdamW(model.parameters, {});
  const count = rows * length;
  const batch: TrainingBatch = {
    batch: rows,
    length,
    tokens: indices(count, 256),
    starts: new Int32Array(count),
    targets: Array.from({ length: numHeads }, () => indices(count, 256)),
  };
  model.tables.reserve(length);
  return () =>
    scope(() => {
      model.parameters.zeroGradients();
      const onDevice = uploadBatch(device, batch, model.heads);
      backwardHeadByHead(model, onDevice, { weights: new Array<number>(numHeads).fill(1 / count) });
      optimizer.update(1e-4);
    });
}
