// CUDA calls that fail: the error names the operation and its sizes, the call, and CUDA's name of the failure. The process and
// the device still work. The emulator refuses one piece of work after another.
import { native } from '../../lib/native/load';
import { capture } from '../../lib/tensor/capture';
import { openDevice, type Device } from '../../lib/tensor/device';
import { add } from '../../lib/tensor/ops/layers/elementwise';
import { linear } from '../../lib/tensor/ops/linear/linear';
import { linearCrossEntropy } from '../../lib/tensor/ops/loss/linear-cross-entropy';
import { rmsNorm } from '../../lib/tensor/ops/layers/rms-norm';
import { scope } from '../../lib/tensor/scope';
import { take } from '../support/cpu';
import { Random } from '../support/random';

const [ROWS, DIM, VOCAB] = [6, 16, 40];

/** Uploads, a training step, a capture and its replay, and readbacks. */
async function program(device: Device): Promise<number[]> {
  const random = new Random(3);
  const floats = (...shape: number[]) =>
    device.tensor(random.floats(shape.reduce((product, size) => product * size)), shape);
  const [weight, norm, unembedding] = [floats(DIM, DIM), floats(DIM), floats(VOCAB, DIM)];
  const targets = device.tensor(Int32Array.from({ length: ROWS }, (_, row) => row * 5));
  const [x, bias] = [floats(ROWS, DIM), floats(DIM)];
  for (const parameter of [weight, norm, unembedding]) parameter.requireGrad();
  const { loss } = linearCrossEntropy(rmsNorm(linear(x, weight), norm, 1e-5), unembedding, targets);
  loss.backward();
  using captured = capture(device, () => ({ y: linear(add(x, x), weight, bias) }));
  captured.replay();
  await device.synchronize();
  const results = [loss, weight.grad!, norm.grad!, unembedding.grad!, captured.result.y];
  const values: number[] = [];
  for (const tensor of results) values.push(...(await tensor.data()));
  return values;
}

/** Whether the device computes correct results. */
async function works(device: Device): Promise<boolean> {
  const sum = await take(
    scope(() => add(device.tensor(Float32Array.of(1, 2)), device.tensor(Float32Array.of(3, 4)))),
  );
  using tripled = capture(device, () => ({
    y: add(device.tensor(Float32Array.of(5)), device.tensor(Float32Array.of(10))),
  }));
  tripled.replay();
  return String(Array.from(sum)) === '4,6' && (await tripled.result.y.data())[0] === 15;
}

/** Returns the messages of the program's errors when each piece of its work in turn is refused. */
async function failures(): Promise<string[]> {
  const undisturbed = openDevice('cuda-emulated');
  const expected = await program(undisturbed);
  undisturbed.dispose();
  const messages: string[] = [];
  for (let refused = 1; ; refused++) {
    let device: Device | undefined;
    try {
      device = openDevice('cuda-emulated', { emulator: { refused } });
      expect(await program(device)).toEqual(expected);
      return messages; // no call was refused
    } catch (error) {
      messages.push((error as Error).message);
      if (device) expect(await works(device)).toBe(true);
    } finally {
      device?.dispose();
    }
  }
}

test('every failing call has its own error, after which the device works', async () => {
  const live = native.liveTensors();
  const messages = await failures();
  const failed = (call: string): string =>
    `${call} failed with cudaErrorLaunchOutOfResources: too many resources requested for launch`;
  const launch = failed('cudaLaunchKernelEx');
  const [upload, recorded] = [failed('upload: cudaMemcpyAsync'), failed('upload: cudaEventRecord')];
  const readback = ['cudaLaunchKernelEx', 'cudaStreamAddCallback'].map((call) => failed(`download: ${call}`));
  const distinct = messages.filter((message, i) => message !== messages[i - 1]);
  expect(distinct).toEqual([
    `openCuda: ${upload}`,
    `openCuda: ${recorded}`,
    ...Array.from({ length: 6 }, () => [upload, recorded]).flat(),
    `linear of m 6, n 16, k 16: ${launch}`,
    `rmsNorm of rows 6, dim 16: ${launch}`,
    `fill of count 640: ${launch}`,
    `linearCrossEntropy of rows 6, dim 16, vocab 40, heads 1: ${launch}`,
    `fill of count 1: ${launch}`,
    `fill of count 96: ${launch}`,
    `accumulate of count 96: ${launch}`,
    `fill of count 640: ${launch}`,
    `accumulate of count 640: ${launch}`,
    `fill of count 16: ${launch}`,
    `rmsNormBackward of rows 6, dim 16: ${launch}`,
    `fill of count 256: ${launch}`,
    `linearBackwardWeight of m 6, n 16, k 16: ${launch}`,
    failed('capture: cudaEventRecord'),
    failed('capture: cudaStreamBeginCapture'),
    `add of count 96: ${launch}`,
    `linear of m 6, n 16, k 16: ${launch}`,
    failed('replay: cudaGraphLaunch'),
    failed('synchronize: cudaLaunchKernelEx'),
    failed('synchronize: cudaStreamAddCallback'),
    ...Array.from({ length: 5 }, () => [failed('download: cudaMemcpyAsync'), ...readback]).flat(),
  ]);
  expect(native.liveTensors()).toBe(live);
});
