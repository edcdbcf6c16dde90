// Scratch grows with neither heads nor rows, and all memory is freed, after errors as well.
import { native } from '../../../lib/native/load';
import { openDevice, type Device } from '../../../lib/tensor/device';
import {
  linearCrossEntropy,
  linearCrossEntropyBackward,
} from '../../../lib/tensor/ops/loss/linear-cross-entropy';
import { scope } from '../../../lib/tensor/scope';
import type { Tensor } from '../../../lib/tensor/tensor';
import type { Isa } from '../../support/cpu';
import { isEmulated, onDevice, openTarget, targets, type Target } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { allOutputs, expectSameRun, randomProblem, readBack, runLoss, upload } from '../../support/loss';
import type { LossProblem } from '../../support/loss-oracle';

const modes = ['loss', 'lossAndGrad', 'backward'] as const;
type Mode = (typeof modes)[number];

interface Size {
  heads: number;
  rowsOfHead: number;
  dim: number;
  vocab: number;
  chunkRows?: number;
}

/**
 * Bytes that a call takes beyond its inputs, outputs and gradients. No row has a target, which saves time and does not
 * change the memory.
 */
async function scratchOf(device: Device, mode: Mode, size: Size): Promise<number> {
  const { heads, rowsOfHead, dim, vocab, chunkRows } = size;
  const rows = heads * rowsOfHead;
  const scratch = scope(() => {
    const hidden = device.empty([rows, dim]);
    const weight = device.empty([vocab, dim]);
    const targets = device.tensor(new Int32Array(rows).fill(-100));
    const gradients = { hidden: device.empty([rows, dim]), weight: device.empty([vocab, dim]) };
    hidden.requiresGrad = weight.requiresGrad = mode === 'lossAndGrad';
    const options = { heads, chunkRows };
    const lse = device.zeros([rows]);
    device.resetPeak();
    if (mode === 'backward') {
      const before = device.memory().live;
      linearCrossEntropyBackward(hidden, weight, targets, lse, gradients, options);
      return device.memory().peak - before;
    }
    linearCrossEntropy(hidden, weight, targets, options);
    return device.memory().peak - device.memory().live;
  });
  await device.synchronize();
  return scratch;
}

/** Live tensors and bytes. */
const alive = (of: Device): [number, number] => [native.liveTensors(), of.memory().live];

describe.each(targets)('%s', (target) => {
  const onGpu = target.startsWith('cuda');
  let device: Device;
  beforeAll(() => {
    device = openTarget(target);
  });
  afterAll(() => device.dispose());

  describe.each(modes)('scratch of %s', (mode) => {
    test('is the same for one head and for eight, for few rows and for many', async () => {
      const size = { dim: 16, vocab: isEmulated(target) ? 512 : 4096 };
      // At least as many rows as a chunk has.
      const rows = onGpu ? 2048 : 1024;
      const one = await scratchOf(device, mode, { ...size, heads: 1, rowsOfHead: rows });
      expect(one).toBeGreaterThan((rows * size.vocab) / 2);
      const all = (isEmulated(target) ? 2 : 8) * rows;
      for (const heads of [8, 1, 4]) {
        const rowsOfHead = all / heads;
        const many = await scratchOf(device, mode, { ...size, heads, rowsOfHead });
        // Outputs by head, and outputs that backward leaves out, are a few blocks of 512 bytes.
        expect(Math.abs(many - one)).toBeLessThanOrEqual(mode === 'backward' ? 4096 : 0);
      }
    });

    // GPUs are tested below, with little memory.
    if (!onGpu) {
      test('stays within 64 MiB for a vocabulary of 32000', async () => {
        const size = { dim: 512, vocab: 32_000, rowsOfHead: 512 };
        const one = await scratchOf(device, mode, { ...size, heads: 1 });
        const eight = await scratchOf(device, mode, { ...size, heads: 8 });
        expect(one).toBeLessThanOrEqual(2 ** 26);
        expect(Math.abs(eight - one)).toBeLessThanOrEqual(mode === 'backward' ? 4096 : 0);
      });
    }

    test('grows with the logits of the chunk', async () => {
      const size = { heads: 1, rowsOfHead: 512, dim: 16, vocab: 5000 };
      const [few, many] = [64, 256].map((chunkRows) => scratchOf(device, mode, { ...size, chunkRows }));
      const grown = (await many!) - (await few!);
      const logits = (256 - 64) * 5000 * 4;
      // GPUs also store a few numbers for every 64 logits; without gradients they store only these.
      const [lowest, highest] = !onGpu ? [1, 1.1] : mode === 'loss' ? [0.05, 0.1] : [1, 1.15];
      expect(grown).toBeGreaterThan(lowest * logits);
      expect(grown).toBeLessThan(highest * logits);
    });
  });

  test('a call and its backward pass leave no memory behind', async () => {
    const problem = randomProblem(1, { rows: 40, dim: 16, vocab: 200 });
    const { hidden, weight, targets, options } = upload(device, problem);
    const before = alive(device);
    const result = linearCrossEntropy(hidden, weight, targets, { ...options, outputs: allOutputs });
    result.loss.backward();
    await readBack(result, { hidden: hidden.grad, weight: weight.grad, bias: options.bias!.grad });
    expect(alive(device)).toEqual(before);
  });

  test('a refused call leaves no memory behind', () => {
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
});

const limited = targets.filter((target) => target !== 'cuda');
for (const target of limited)
  describe(`with little memory, ${target}`, () => {
    test('running out of memory at any point leaves no memory behind', async () => {
      const problem = randomProblem(3, { rows: 40, dim: 16, vocab: 200 });
      const inputs = 40 * 16 * 4 + 512 + 200 * 16 * 4 + 1024 + 4 * 512;
      const step = isEmulated(target) ? 2048 : 1024;
      let refused = 0;
      let limit = inputs + (isEmulated(target) ? 512 : 0); // the error record
      for (; (await runWithin(target, limit, problem)) === 'refused'; limit += step) refused++;
      // The first allocation that failed was a gradient, an output or the scratch, depending on the limit.
      expect(refused).toBeGreaterThan(30);
      const run = await within(target, limit + 4096, (small) => runLoss(small, problem));
      expectSameRun(run, await onDevice(target, (device) => runLoss(device, problem)));
    });

    test('a smaller chunk fits if a larger one does not', async () => {
      const problem = randomProblem(4, { rows: 300, dim: 4, vocab: 3000 });
      const run = await within(target, 2e6, async (small) => {
        await expect(runLoss(small, problem)).rejects.toThrow(
          foretokenError('OUT_OF_MEMORY', 'linearCrossEntropy'),
        );
        return runLoss(small, problem, { chunkRows: 24 });
      });
      expectSameRun(run, await onDevice(target, (device) => runLoss(device, problem)));
    });

    /** The bytes of scratch that backward asks for, on a device that is too small for them. */
    const askedFor = (rows: number, vocab: number, chunkRows?: number, dim = 1): Promise<number> =>
      within(target, 2 ** 26, (small) => {
        const hidden = small.empty([rows, dim], 'bfloat16');
        const weight = small.empty([vocab, dim], 'bfloat16');
        const tokens = small.tensor(new Int32Array(rows));
        const [lse, bias] = [small.empty([rows]), small.empty([vocab])];
        let message = '';
        try {
          linearCrossEntropyBackward(hidden, weight, tokens, lse, { bias }, { chunkRows });
        } catch (error) {
          message = (error as Error).message;
        }
        const asked = /linearCrossEntropy: out of memory: (\d+) bytes requested/.exec(message)?.[1];
        return Promise.resolve(Number(asked));
      });

    // Rows × vocabulary beyond 2³¹ and 2³²: the device has no memory for them, but the size asked for must be right.
    test.each([
      [2 ** 11, 2 ** 20],
      [2 ** 16, 2 ** 16],
      [2 ** 20, 2 ** 20],
      [16, 2 ** 22],
      [2 ** 22, 3],
    ])('a chunk of %i rows of a vocabulary of %i', async (rows, vocab) => {
      const asked = await askedFor(rows, vocab, rows);
      const logits = rows * vocab * 4;
      expect(asked).toBeGreaterThanOrEqual(logits);
      // Arrays by row and the padding of rows; on GPUs also a few numbers for every 64 logits.
      const more = rows * 256 + (isEmulated(target) ? logits / 10 : 4 * 2 ** 20);
      expect(asked).toBeLessThanOrEqual(logits + more);
    });

    if (isEmulated(target)) {
      test('half of that with exponentials instead of logits', async () => {
        const [rows, vocab] = [2 ** 11, 2 ** 19];
        const asked = await askedFor(rows, vocab, rows, 8);
        expect(asked).toBeGreaterThan(rows * vocab * 2);
        expect(asked).toBeLessThan(rows * vocab * 2.5);
      });

      test.each([131_072, 250_000, 1_000_000, 4_000_000])(
        'stays within 768 MiB for a vocabulary of %i',
        async (vocab) => {
          const asked = await askedFor(10_000, vocab);
          expect(asked).toBeGreaterThan(2 ** 28);
          expect(asked).toBeLessThanOrEqual(768 * 2 ** 20);
        },
      );
    }
  });

/** Runs `fn` on a device with this many bytes of memory. */
async function within<T>(target: Target, bytes: number, fn: (small: Device) => Promise<T>): Promise<T> {
  const small = isEmulated(target)
    ? openDevice('cuda-emulated', { emulator: { checked: target === 'cuda-checked', memory: bytes } })
    : openDevice('cpu', { isa: target as Isa, threads: 1, memoryLimit: bytes, poison: true });
  try {
    return await fn(small);
  } finally {
    small.dispose();
  }
}

/** Runs the op with a memory limit and checks that no memory is left behind. Returns `refused` if the op ran out of memory. */
async function runWithin(target: Target, limit: number, problem: LossProblem): Promise<'refused' | 'done'> {
  return within(target, limit, async (small) => {
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
      expect(error).toEqual(foretokenError('OUT_OF_MEMORY', 'bytes requested', `limit ${limit}`));
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
