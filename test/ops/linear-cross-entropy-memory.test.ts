// Scratch that grows with neither heads nor rows, and memory that comes back whatever happens.
import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import { linearCrossEntropy, linearCrossEntropyBackward } from '../../lib/tensor/ops/linear-cross-entropy';
import { scope } from '../../lib/tensor/scope';
import type { Tensor } from '../../lib/tensor/tensor';
import { onCpu } from '../support/cpu';
import { foretokenError } from '../support/errors';
import { allOutputs, expectSameRun, randomProblem, readBack, runLoss, upload } from '../support/loss';
import type { LossProblem } from '../support/loss-oracle';

let device: Device;
beforeAll(() => {
  device = openDevice('cpu', { threads: 2 });
});
afterAll(() => device.dispose());

interface Size {
  heads: number;
  rowsOfHead: number;
  dim: number;
  vocab: number;
  chunkRows?: number;
}

/**
 * Bytes that a call takes beyond its inputs, outputs and gradients. No row has a target, which changes nothing about the
 * memory, only about the time.
 */
async function scratchOf(mode: 'loss' | 'lossAndGrad' | 'backward', size: Size): Promise<number> {
  const { heads, rowsOfHead, dim, vocab, chunkRows } = size;
  const rows = heads * rowsOfHead;
  const scratch = scope(() => {
    const hidden = device.empty([rows, dim]);
    const weight = device.empty([vocab, dim]);
    const targets = device.tensor(new Int32Array(rows).fill(-100));
    const gradients = { hidden: device.empty([rows, dim]), weight: device.empty([vocab, dim]) };
    hidden.requiresGrad = weight.requiresGrad = mode === 'lossAndGrad';
    const options = { heads, chunkRows };
    device.resetPeak();
    if (mode === 'backward') {
      const before = device.memory().live;
      linearCrossEntropyBackward(hidden, weight, targets, device.zeros([rows]), gradients, options);
      return device.memory().peak - before - 4 * rows;
    }
    linearCrossEntropy(hidden, weight, targets, options);
    return device.memory().peak - device.memory().live;
  });
  await device.synchronize();
  return scratch;
}

describe.each(['loss', 'lossAndGrad', 'backward'] as const)('scratch of %s', (mode) => {
  test('is the same for one head and for eight, for few rows and for many', async () => {
    const size = { dim: 16, vocab: 4096 };
    const one = await scratchOf(mode, { ...size, heads: 1, rowsOfHead: 1024 });
    expect(one).toBeGreaterThan(1e6);
    for (const [heads, rowsOfHead] of [
      [8, 1024],
      [1, 8192],
      [4, 2048],
    ] as const) {
      const many = await scratchOf(mode, { ...size, heads, rowsOfHead });
      // Outputs by head and the savings of backward are a few blocks of 512 bytes.
      expect(Math.abs(many - one)).toBeLessThanOrEqual(mode === 'backward' ? 4096 : 0);
    }
  });

  test('stays within 64 MiB for a vocabulary of 32000', async () => {
    const size = { dim: 512, vocab: 32_000, rowsOfHead: 512 };
    const one = await scratchOf(mode, { ...size, heads: 1 });
    const eight = await scratchOf(mode, { ...size, heads: 8 });
    expect(one).toBeLessThanOrEqual(2 ** 26);
    expect(Math.abs(eight - one)).toBeLessThanOrEqual(mode === 'backward' ? 4096 : 0);
  });

  test('is that of the chunk', async () => {
    const size = { heads: 1, rowsOfHead: 512, dim: 16, vocab: 5000 };
    const [few, many] = [64, 256].map((chunkRows) => scratchOf(mode, { ...size, chunkRows }));
    const logits = (256 - 64) * 5000 * 4;
    expect((await many!) - (await few!)).toBeGreaterThan(logits);
    expect((await many!) - (await few!)).toBeLessThan(1.1 * logits);
  });
});

/** Live tensors and bytes. */
const alive = (of: Device): [number, number] => [native.liveTensors(), of.memory().live];

test('nothing is left behind by a call and its backward', async () => {
  const problem = randomProblem(1, { rows: 40, dim: 16, vocab: 200 });
  const { hidden, weight, targets, options } = upload(device, problem);
  const before = alive(device);
  const result = linearCrossEntropy(hidden, weight, targets, { ...options, outputs: allOutputs });
  result.loss.backward();
  await readBack(result, { hidden: hidden.grad, weight: weight.grad, bias: options.bias!.grad });
  expect(alive(device)).toEqual(before);
});

test('a call that is refused leaves nothing behind', () => {
  const { hidden, weight, targets, options } = upload(
    device,
    randomProblem(2, { rows: 4, dim: 3, vocab: 5 }),
  );
  targets.write(Int32Array.of(0, 1, 2, 99));
  const before = alive(device);
  expect(() => linearCrossEntropy(hidden, weight, targets, options)).toThrow(
    foretokenError('INDEX_OUT_OF_RANGE', 'targets[3] is 99'),
  );
  expect(alive(device)).toEqual(before);
});

/** Runs the op with a memory limit; `refused` where it ran out of memory, after checking that nothing was left behind. */
async function runWithin(memoryLimit: number, problem: LossProblem): Promise<'refused' | 'done'> {
  return onCpu({ threads: 1, memoryLimit }, async (small) => {
    const { hidden, weight, targets, options } = upload(small, problem);
    const leaves = [hidden, weight, options.bias!];
    const before = alive(small);
    let loss: Tensor | undefined;
    try {
      const result = linearCrossEntropy(hidden, weight, targets, { ...options, outputs: allOutputs });
      const { loss: total, headLoss, headCount, nll, lse, entropy, argmax, rank } = result;
      for (const tensor of [headLoss, headCount, nll, lse, entropy, argmax, rank]) tensor!.dispose();
      loss = total;
      loss.backward();
      return 'done';
    } catch (error) {
      expect(error).toEqual(foretokenError('OUT_OF_MEMORY', 'bytes asked for', `limit ${memoryLimit}`));
      return 'refused';
    } finally {
      loss?.dispose();
      for (const leaf of leaves) leaf.grad?.dispose();
      expect(alive(small)).toEqual(before);
      await small.synchronize();
      expect(await hidden.data()).toEqual(problem.hidden);
    }
  });
}

test('running out of memory anywhere leaves nothing behind', async () => {
  const problem = randomProblem(3, { rows: 40, dim: 16, vocab: 200 });
  const inputs = 40 * 16 * 4 + 512 + 200 * 16 * 4 + 1024 + 4 * 512;
  let refused = 0;
  let limit = inputs;
  for (; (await runWithin(limit, problem)) === 'refused'; limit += 1024) refused++;
  // Gradients, outputs, scratch: each of them was the one that did not fit.
  expect(refused).toBeGreaterThan(50);
  await onCpu({ threads: 1, memoryLimit: limit + 4096 }, async (small) => {
    expectSameRun(await runLoss(small, problem), await runLoss(device, problem));
  });
});

test('a smaller chunk fits where a larger one does not', async () => {
  const problem = randomProblem(4, { rows: 300, dim: 4, vocab: 3000 });
  await onCpu({ threads: 1, memoryLimit: 2e6 }, async (small) => {
    await expect(runLoss(small, problem)).rejects.toThrow(
      foretokenError('OUT_OF_MEMORY', 'linearCrossEntropy'),
    );
    expectSameRun(await runLoss(small, problem, { chunkRows: 24 }), await runLoss(device, problem));
  });
});

// Rows × vocabulary beyond 2³¹ and 2³², without memory for it: the size that is asked for is the right one.
test.each([
  [2 ** 11, 2 ** 20],
  [2 ** 16, 2 ** 16],
  [2 ** 20, 2 ** 20],
  [16, 2 ** 22],
  [2 ** 22, 3],
])('a chunk of %i rows of a vocabulary of %i', async (rows, vocab) => {
  const limit = 2 ** 23 + 2 ** 23 + 2 ** 24 + 4096; // hidden, weight and targets at most
  await onCpu({ threads: 1, memoryLimit: limit }, (small) => {
    const hidden = small.empty([rows, 1], 'bfloat16');
    const weight = small.empty([vocab, 1], 'bfloat16');
    const targets = small.tensor(new Int32Array(rows));
    let message = '';
    try {
      linearCrossEntropy(hidden, weight, targets, { chunkRows: rows });
    } catch (error) {
      message = (error as Error).message;
    }
    const asked = Number(/linearCrossEntropy: out of memory: (\d+) bytes asked for/.exec(message)?.[1]);
    const logits = rows * vocab * 4;
    const perRow = rows * (4 + 8 + 8 + 8 + 2 * 16 * 4); // hidden, three arrays by row, and the padding of logits
    expect(asked).toBeGreaterThanOrEqual(logits);
    expect(asked).toBeLessThanOrEqual(logits + perRow + 4 * 2 ** 20);
    return Promise.resolve();
  });
});
