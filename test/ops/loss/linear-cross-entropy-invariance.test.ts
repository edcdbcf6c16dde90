// Results must not depend on chunks, threads, schedules, repetition, the order of rows and tokens, the place of tensors in
// memory, or earlier contents of memory.
import fc from 'fast-check';
import type { Device } from '../../../lib/tensor/device';
import {
  linearCrossEntropy,
  linearCrossEntropyBackward,
} from '../../../lib/tensor/ops/loss/linear-cross-entropy';
import { scope } from '../../../lib/tensor/scope';
import type { Tensor } from '../../../lib/tensor/tensor';
import {
  bfloat16Targets,
  isEmulated,
  onDevice,
  onEachVariant,
  openTarget,
  targets,
} from '../../support/devices';
import { representable } from '../../support/half';
import {
  allOutputs,
  expectAccurate,
  expectSameChunks,
  expectSameRun,
  randomProblem,
  readBack,
  runLoss,
  upload,
  type LossRun,
} from '../../support/loss';
import type { LossProblem } from '../../support/loss-oracle';
import { Random } from '../../support/random';

const everything = { labelSmoothing: 0.1, zLoss: 0.02, entropyWeight: 0.3, softcap: 8 };

const chunks = [1, 2, 3, 7, 12, 13, 24, 31, 32, 33, 48, 64, 74, 75, 76, 1000, 2 ** 40];

test.each(bfloat16Targets)('chunks of bfloat16 states on %s', async (target) => {
  const problem = randomProblem(9, { rows: 75, dim: 24, vocab: 83 }, everything);
  problem.hidden = representable(problem.hidden, 'bfloat16');
  problem.weight = representable(problem.weight, 'bfloat16');
  const dtypes = { hidden: 'bfloat16', weight: 'bfloat16' } as const;
  await onDevice(target, async (device) => {
    const whole = await runLoss(device, problem, { dtypes });
    for (const chunkRows of chunks) {
      const run = await runLoss(device, problem, { dtypes, chunkRows });
      expectSameChunks(device, run, whole, () => expectAccurate(run, problem, 1));
    }
  });
});

describe.each(targets)('%s', (target) => {
  let device: Device;
  beforeAll(() => {
    device = openTarget(target);
  });
  afterAll(() => device.dispose());

  test('chunks of any size give the same bits', async () => {
    const problem = randomProblem(1, { rows: 75, dim: 19, vocab: 83 }, { ...everything, heads: 1 });
    const whole = await runLoss(device, problem);
    expectAccurate(whole, problem);
    for (const chunkRows of chunks) {
      expectSameRun(await runLoss(device, problem, { chunkRows }), whole);
    }
  });

  test('any number of threads and any schedule give the same bits, run after run', async () => {
    // Large enough that threads share every matrix product and the rows.
    const large = randomProblem(2, { rows: 60, dim: 40, vocab: 2100 }, { labelSmoothing: 0.1 });
    let first: LossRun | undefined;
    await onEachVariant(target, async (own) => {
      first ??= await runLoss(own, large);
      expectSameRun(await runLoss(own, large), first);
      expectSameRun(await runLoss(own, large, { chunkRows: 17 }), first);
    });
  });

  test('rows in another order give the same rows', async () => {
    const problem = randomProblem(3, { rows: 20, dim: 6, vocab: 30 }, everything);
    const order = Array.from({ length: 20 }, (_, i) => (i * 7 + 3) % 20);
    const shuffled: LossProblem = {
      ...problem,
      hidden: Float32Array.from(order.flatMap((row) => [...problem.hidden.subarray(row * 6, row * 6 + 6)])),
      targets: Int32Array.from(order, (row) => problem.targets[row]!),
      coefficients: Float32Array.from(order, (row) => problem.coefficients![row]!),
    };
    const [run, other] = [await runLoss(device, problem), await runLoss(device, shuffled)];
    expectAccurate(other, shuffled);
    for (const name of ['nll', 'lse', 'entropy', 'argmax', 'rank'] as const) {
      expect([...other[name]]).toEqual(order.map((row) => run[name][row]));
    }
    expect([...other.gradHidden]).toEqual(
      order.flatMap((row) => [...run.gradHidden.subarray(row * 6, row * 6 + 6)]),
    );
  });

  test('renaming the tokens renames the results', async () => {
    const problem = randomProblem(4, { rows: 9, dim: 5, vocab: 37 }, everything);
    const order = Array.from({ length: 37 }, (_, i) => (i * 10 + 4) % 37); // new token i is old token order[i]
    const renamed: LossProblem = {
      ...problem,
      weight: Float32Array.from(order.flatMap((j) => [...problem.weight.subarray(j * 5, j * 5 + 5)])),
      bias: Float32Array.from(order, (j) => problem.bias![j]!),
      targets: problem.targets.map((target) => (target < 0 ? target : order.indexOf(target))),
    };
    const [run, other] = [await runLoss(device, problem), await runLoss(device, renamed)];
    expectAccurate(other, renamed);
    expect(other.rank).toEqual(run.rank);
    expect([...other.argmax].map((j) => order[j] ?? -1)).toEqual([...run.argmax]);
    other.nll.forEach((nll, row) => expect(nll).toBeCloseTo(run.nll[row]!, 5));
  });

  test('options at zero equal options left out', async () => {
    const shape = { rows: 9, dim: 5, vocab: 37 };
    const off = { labelSmoothing: 0, zLoss: 0, entropyWeight: 0, softcap: 0 };
    const plain = await runLoss(device, randomProblem(5, shape));
    expect(await runLoss(device, randomProblem(5, shape, off))).toEqual(plain);
    const ones = { coefficients: new Float32Array(9).fill(1), headWeights: Float32Array.of(1) };
    const unweighted = await runLoss(device, randomProblem(5, shape, { coefficients: undefined }));
    expect(await runLoss(device, randomProblem(5, shape, ones))).toEqual(unweighted);
    const unbiased = await runLoss(device, randomProblem(5, shape, { bias: undefined }));
    const { gradBias: _, ...others } = await runLoss(
      device,
      randomProblem(5, shape, { bias: new Float32Array(37) }),
    );
    expect(unbiased).toMatchObject(others);
  });

  test('inputs do not change', async () => {
    const problem = randomProblem(6, { rows: 13, dim: 11, vocab: 35 }, { headWeights: Float32Array.of(2) });
    const { hidden, weight, targets, options } = upload(device, problem);
    const { bias, coefficients, headWeights } = options;
    linearCrossEntropy(hidden, weight, targets, { ...options, outputs: allOutputs }).loss.backward();
    expect(await hidden.data()).toEqual(problem.hidden);
    expect(await weight.data()).toEqual(problem.weight);
    expect(await targets.data()).toEqual(problem.targets);
    expect(await bias?.data()).toEqual(problem.bias);
    expect(await coefficients?.data()).toEqual(problem.coefficients);
    expect(await headWeights?.data()).toEqual(problem.headWeights);
  });

  /** A copy of `tensor` that begins at an odd element of a larger one, and a check that the elements around it are unchanged. */
  function inside(
    tensor: Tensor,
    values?: Float32Array | Int32Array,
  ): { view: Tensor; check: () => Promise<void> } {
    const size = tensor.size;
    const around =
      values instanceof Int32Array ? new Int32Array(size + 8).fill(77) : new Float32Array(size + 8).fill(77);
    if (values) around.set(values, 3);
    const whole = device.tensor(around);
    return {
      view: whole.view(3, tensor.shape),
      check: async () => {
        const data = [...(await whole.data())];
        expect([...data.slice(0, 3), ...data.slice(3 + size)]).toEqual(new Array(8).fill(77));
      },
    };
  }

  test('tensors may begin at any element, and the elements around them do not change', async () => {
    const problem = randomProblem(7, { rows: 13, dim: 11, vocab: 35 }, everything);
    const expected = await runLoss(device, problem);
    const { hidden, weight, targets, options } = upload(device, problem);
    const moved = {
      hidden: inside(hidden, problem.hidden),
      weight: inside(weight, problem.weight),
      targets: inside(targets, problem.targets),
      bias: inside(options.bias!, problem.bias),
      coefficients: inside(options.coefficients!, problem.coefficients),
      gradHidden: inside(hidden),
      gradWeight: inside(weight, new Float32Array(weight.size)),
      gradBias: inside(options.bias!, new Float32Array(35)),
    };
    const gradients = {
      hidden: moved.gradHidden.view,
      weight: moved.gradWeight.view,
      bias: moved.gradBias.view,
    };
    const elsewhere = { ...options, bias: moved.bias.view, coefficients: moved.coefficients.view };
    const inputs = [moved.hidden.view, moved.weight.view, moved.targets.view] as const;
    const loss = linearCrossEntropy(...inputs, { ...elsewhere, outputs: allOutputs });
    linearCrossEntropyBackward(...inputs, loss.lse!.detach(), gradients, elsewhere);
    expect(await readBack(loss, gradients)).toEqual(expected);
    for (const { check } of Object.values(moved)) await check();
  });

  test('earlier contents of freed memory do not matter', async () => {
    const problem = randomProblem(8, { rows: 26, dim: 19, vocab: 61 }, everything);
    const expected = await runLoss(device, problem);
    const { hidden, weight, targets, options } = upload(device, problem);
    device.resetPeak();
    const { loss } = linearCrossEntropy(hidden, weight, targets, options);
    const scratch = device.memory().peak - device.memory().live;
    await loss.item();
    // The scratch, and memory of all sizes that results may take, filled with NaN and freed again.
    scope(() => {
      const sizes = Array.from({ length: 80 }, (_, i) => 512 * (1 + (i % 16)));
      for (const bytes of [scratch, ...sizes]) device.tensor(new Float32Array(bytes / 4).fill(NaN));
    });
    const { reserved } = device.memory();
    expectSameRun(await runLoss(device, problem), expected);
    expect(device.memory().reserved - reserved).toBeLessThan(scratch);
  });

  test('random problems, with exact logits that often tie', async () => {
    const options = fc.record(
      {
        labelSmoothing: fc.constantFrom(0, 0.25, 1),
        zLoss: fc.constantFrom(0, 0.125),
        entropyWeight: fc.constantFrom(-0.5, 0, 0.5),
        reduction: fc.constantFrom('sum' as const, 'mean' as const, 'meanPerHead' as const),
        heads: fc.constantFrom(1, 2, 3),
        ignoreEvery: fc.nat(4),
        ignoreIndex: fc.constantFrom(-100, -1, 0),
      },
      { requiredKeys: ['heads'] },
    );
    const size = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(1, 15, 16, 17, 47, 64, 65));
    await fc.assert(
      fc.asyncProperty(
        ...[size, size, fc.nat(8), options, fc.integer({ min: 0, max: 20 }), fc.nat()],
        async (dim, vocab, rowsOfHead, extras, chunkRows, seed) => {
          const rows = rowsOfHead * extras.heads;
          const random = new Random(seed);
          const eighths = (count: number): Float32Array =>
            Float32Array.from({ length: count }, () => (random.integer(9) - 4) / 8);
          const matrices = {
            hidden: eighths(rows * dim),
            weight: eighths(vocab * dim),
            bias: eighths(vocab),
          };
          const problem = randomProblem(seed, { rows, dim, vocab }, { ...extras, ...matrices });
          await onEachVariant(target, async (own) => {
            expectAccurate(await runLoss(own, problem, { chunkRows }), problem);
          });
        },
      ),
      { numRuns: isEmulated(target) ? 15 : 50 },
    );
  });
});
