// Uses of a disposed object fail with a message that says so.
import { saveModel } from '../../lib/model/checkpoint';
import { MtpModel } from '../../lib/model/model';
import { openDevice, type Device } from '../../lib/tensor/device';
import { add } from '../../lib/tensor/ops/layers/elementwise';
import { foretokenError } from '../support/errors';
import { TemporaryDirectory } from '../support/temporary';
import { tinyModel, tokenizer } from '../support/training';

const temporary = new TemporaryDirectory();
let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 1, poison: true })));
afterEach(() => device.dispose());

function disposedModel(): MtpModel {
  const model = new MtpModel(
    device,
    { ...tinyModel('parallel', 2), vocabSize: tokenizer.vocabSize },
    { seed: 1 },
  );
  model.dispose();
  return model;
}

test('a model, its parameters and objects made from them', async () => {
  const model = disposedModel();
  const tokens = device.tensor(Int32Array.of(1));
  const disposed = (what: string): Error => foretokenError('INVALID_HANDLE', what, 'disposed');
  expect(() => model.embed(tokens)).toThrow(disposed('model.embed_tokens.weight'));
  expect(() => model.unembedding.value).toThrow(disposed('lm_head.weight'));
  expect(() => model.parameters.buckets).toThrow(disposed('the parameters'));
  await expect(saveModel(temporary.at('model'), model, tokenizer)).rejects.toThrow(
    disposed('the parameters'),
  );
});

test('tensors and devices', () => {
  const [x, y] = [device.zeros([1]), device.zeros([1])];
  x.dispose();
  expect(() => add(y, x)).toThrow(foretokenError('INVALID_HANDLE', 'add: b was disposed'));
  device.dispose();
  expect(() => device.zeros([1])).toThrow(foretokenError('INVALID_HANDLE', 'device cpu was closed'));
});
