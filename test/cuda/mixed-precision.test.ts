// Autograd and models in bfloat16: the dtypes of tensors, and agreement with float32 up to rounding.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LanguageModel } from '../../lib/decode/language-model';
import { saveModel } from '../../lib/model/checkpoint';
import { modelConfig } from '../../lib/model/config';
import { llamaBlock } from '../../lib/model/families/family';
import { loadModel } from '../../lib/model/load';
import { backwardHeadByHead, uploadBatch } from '../../lib/train/loss';
import { MtpModel, type ModelInit } from '../../lib/model/model';
import { readSafetensors } from '../../lib/model/safetensors';
import { Mlp } from '../../lib/nn/mlp';
import { ParameterStore } from '../../lib/nn/parameters';
import { RMSNorm } from '../../lib/nn/rms-norm';
import type { ActivationDType } from '../../lib/native/binding';
import { native } from '../../lib/native/load';
import type { Device } from '../../lib/tensor/device';
import { add, concat, scale } from '../../lib/tensor/ops/layers/elementwise';
import { embedding } from '../../lib/tensor/ops/layers/embedding';
import { linear, packWeight } from '../../lib/tensor/ops/linear/linear';
import { linearCrossEntropy } from '../../lib/tensor/ops/loss/linear-cross-entropy';
import { sliceColumns } from '../../lib/tensor/ops/layers/reshape';
import { scope } from '../../lib/tensor/scope';
import type { Tensor } from '../../lib/tensor/tensor';
import { bfloat16Targets, onDevice } from '../support/devices';
import { foretokenError } from '../support/errors';
import { tokensOf } from '../support/exact';
import { decode, nearest } from '../support/half';
import { Random } from '../support/random';
import { TemporaryDirectory } from '../support/temporary';
import { gradientsOf, randomBatch, tinyModel, tokenizer, weightsOf } from '../support/training';

const temporary = new TemporaryDirectory();
const dtypes = ['float32', 'bfloat16'] as const;

/** A bfloat16 leaf. */
function leaf(device: Device, values: Float32Array, shape: readonly number[]): Tensor {
  using wide = device.tensor(values, shape);
  return wide.cast('bfloat16').requireGrad();
}

/** Euclidean distance, relative to the length of `expected`. */
function distance(actual: Float32Array, expected: Float32Array): number {
  const length = (values: Float32Array): number =>
    Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return length(actual.map((value, i) => value - expected[i]!)) / length(expected);
}

/**
 * Expects gradients to agree with those of float32 up to rounding. Tens of operations in a row leave a distance of about
 * 0.025; an operation that is missing or done twice changes the first digit.
 */
function expectClose(actual: Map<string, Float32Array>, expected: Map<string, Float32Array>): void {
  expect([...actual.keys()]).toEqual([...expected.keys()]);
  for (const [name, gradient] of expected) {
    const error = distance(actual.get(name)!, gradient);
    expect([name, error > 0, error < 0.05]).toEqual([name, true, true]);
  }
}

describe.each(bfloat16Targets)('on %s', (target) => {
  const random = new Random(12);

  test('gradients of a bfloat16 leaf accumulate in float32', () =>
    onDevice(target, async (device) => {
      const x = leaf(device, Float32Array.of(1, 2, 3), [3]);
      const sum = add(scale(x, 1), scale(x, 2 ** -9));
      expect(sum.dtype).toBe('bfloat16');
      sum.backward(device.zeros([3]).fill(1));
      expect(x.grad!.dtype).toBe('float32');
      // A sum in bfloat16 would lose the second gradient.
      expect(await x.grad!.data()).toEqual(new Float32Array(3).fill(1 + 2 ** -9));
    }));

  test('concatenated and sliced columns', () =>
    onDevice(target, async (device) => {
      const [a, b] = [leaf(device, random.floats(6), [2, 3]), leaf(device, random.floats(4), [2, 2])];
      const part = sliceColumns(concat(a, b), 2, 2);
      part.backward(device.tensor(Float32Array.of(1, 2, 3, 4), [2, 2]));
      expect(await a.grad!.data()).toEqual(Float32Array.of(0, 0, 1, 0, 0, 3));
      expect(await b.grad!.data()).toEqual(Float32Array.of(2, 0, 4, 0));
    }));

  test('a linear layer with float32 output', () =>
    onDevice(target, async (device) => {
      const [rows, n, k] = [5, 16, 24];
      const [data, weights, upstream] = [rows * k, n * k, rows * n].map((count) => random.floats(count));
      const weight = device.tensor(weights!, [n, k]).cast('bfloat16');
      const outcome = async (dtype?: ActivationDType): Promise<[Float32Array, Float32Array]> => {
        const x = leaf(device, data!, [rows, k]);
        const y = linear(x, weight, null, dtype);
        expect(y.dtype).toBe(dtype ?? 'bfloat16');
        y.backward(device.tensor(upstream!, [rows, n]));
        return [(await y.cast('float32').data()) as Float32Array, (await x.grad!.data()) as Float32Array];
      };
      const [wide, wideGradient] = await outcome('float32');
      const [narrow, narrowGradient] = await outcome();
      expect(narrow).toEqual(wide.map((value) => nearest(value, 'bfloat16')));
      expect(wideGradient).toEqual(narrowGradient);
    }));

  test('all activations of an operation must have one dtype', () =>
    onDevice(target, async (device) => {
      const [wide, narrow] = dtypes.map((dtype) => device.zeros([2, 4], dtype)) as [Tensor, Tensor];
      expect(() => add(narrow, wide)).toThrow(
        foretokenError('DTYPE_MISMATCH', 'add: a is bfloat16 but b is float32; they must be the same'),
      );
      expect(() => linear(wide, device.zeros([3, 4]), null, 'bfloat16')).toThrow(
        foretokenError(
          'DTYPE_MISMATCH',
          'linear: outDtype must be float32 or the dtype of x, which is float32',
        ),
      );
      const cache = native.kvCache(device.handle, 1, 1, 2, 8, 1, 'float32');
      native.kvReserve(cache, 0, 8);
      const ints = (...values: number[]): Tensor => device.tensor(Int32Array.from(values));
      const qkv = device.zeros([1, 8], 'bfloat16').handle;
      expect(() =>
        native.kvAppend(cache, 0, qkv, 2, ints(0, 1).handle, ints(0).handle, ints(-1).handle),
      ).toThrow(foretokenError('DTYPE_MISMATCH', 'kvAppend: cache is float32 but qkv is bfloat16'));
      await device.synchronize();
    }));

  test('a weight that is read fastest unpacked is not packed', () =>
    onDevice(target, async (device) => {
      const weight = device.tensor(Float32Array.of(1, 2), [1, 2]);
      const live = device.memory().live;
      const packed = packWeight(weight);
      expect(device.memory().live).toBe(live);
      expect(await linear(device.zeros([1, 2]).fill(1), packed).data()).toEqual(Float32Array.of(3));
    }));

  test('layers have the gradients of float32 up to rounding', () =>
    onDevice(target, async (device) => {
      const [rows, hiddenSize, vocab] = [24, 32, 40];
      const gradients = await Promise.all(
        dtypes.map(async (dtype) => {
          const store = new ParameterStore(device, { dtype });
          const table = store.create([{ name: 'table', shape: [vocab, hiddenSize] }], { std: 1 });
          const mlp = new Mlp(store, 'mlp.', {
            ...llamaBlock(
              modelConfig({ vocabSize: 1, hiddenSize, numHiddenLayers: 1, numAttentionHeads: 1 }),
              0,
            ),
            ...{ intermediateSize: 48, initStd: 0.2, residualStd: 0.2 },
          });
          const norm = new RMSNorm(store, 'norm', hiddenSize, 1e-5);
          store.allocate(3);
          store.allocateGradients();
          scope(() => {
            const tokens = device.tensor(Int32Array.from({ length: rows }, (_, i) => (i * 7) % vocab));
            const targets = device.tensor(Int32Array.from({ length: rows }, (_, i) => (i * 5) % vocab));
            const x = embedding(tokens, table.operand, dtype);
            const { sum, out } = norm.forwardSum(x, mlp.forward(x));
            expect([x.dtype, sum.dtype, out.dtype]).toEqual([dtype, dtype, dtype]);
            linearCrossEntropy(out, table.operand, targets).loss.backward();
          });
          for (const { value, operand } of store.parameters) {
            expect(value.grad!.dtype).toBe('float32');
            if (operand !== value) expect(operand.grad).toBeNull();
          }
          const found = new Map<string, Float32Array>();
          for (const { parts, value } of store.parameters) {
            found.set(parts[0]!.name, (await value.grad!.data()) as Float32Array);
          }
          store.dispose();
          return found;
        }),
      );
      expectClose(gradients[1]!, gradients[0]!);
    }));
});

describe.each(bfloat16Targets)('a model on %s', (target) => {
  const vocabSize = tokenizer.vocabSize;
  const make = (device: Device, kind: string, init: ModelInit): MtpModel => {
    const options = { ...tinyModel(kind, 3), vocabSize, initializerRange: 0.3 };
    return new MtpModel(device, options, { seed: 1, ...init });
  };

  test.each(['parallel', 'medusa', 'rooted', 'sequential', 'recursive'])(
    '%s heads: gradients are those of float32 up to rounding',
    (kind) =>
      onDevice(target, async (device) => {
        const gradients = [];
        for (const dtype of dtypes) {
          using model = make(device, kind, { dtype });
          model.parameters.allocateGradients();
          model.tables.reserve(16);
          const batch = randomBatch(2, { batch: 2, length: 16, heads: 3, vocab: vocabSize });
          scope(() => {
            const onTarget = uploadBatch(device, batch, model.heads);
            backwardHeadByHead(model, onTarget, { weights: [0.1, 0.05, 0.03] });
          });
          gradients.push(await gradientsOf({ model }));
        }
        expectClose(gradients[1]!, gradients[0]!);
      }),
    300_000,
  );

  test(
    'without masters gives the same tokens in less memory, and can be saved and loaded',
    () =>
      onDevice(target, async (device) => {
        const prompt = [...tokenizer.encode('Once upon')];
        const options = { maxTokens: 6, ignoreEos: true, temperature: 1, seed: 4 };
        using full = make(device, 'medusa', { dtype: 'bfloat16' });
        const [start, expected] = [device.memory().live, await tokensOf(full, prompt, options)];
        device.trim();
        using bare = make(device, 'medusa', { dtype: 'bfloat16', masters: false });
        expect(bare.parameters.buckets[0]!.value.dtype).toBe('bfloat16');
        // An element of a matrix occupies 2 bytes instead of 6.
        expect(device.memory().live - start).toBeLessThan(start / 2);
        expect(await tokensOf(bare, prompt, options)).toEqual(expected);

        const path = temporary.at('model');
        await saveModel(path, bare, tokenizer);
        const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as Record<string, unknown>;
        expect(config.torch_dtype).toBe('bfloat16');
        const file = await readSafetensors(path);
        expect(file.info('lm_head.weight').dtype).toBe('BF16');
        expect(file.info('model.norm.weight').dtype).toBe('F32');
        await file.close();
        {
          using loaded = await LanguageModel.load(path, { device, dtype: 'bfloat16' });
          expect(loaded.model.parameters.trainable).toBe(false);
          expect(await tokensOf(loaded.model, prompt, options)).toEqual(expected);
        }
        const { model } = await loadModel(device, path, { dtype: 'bfloat16' });
        using trainable = model;
        expect(trainable.parameters.trainable).toBe(true);
        const rounded = decode((await bare.unembedding.value.data()) as Uint16Array, 'bfloat16');
        expect((await weightsOf({ model })).get('lm_head.weight')).toEqual(rounded);
      }),
    300_000,
  );
});
