// A model refuses heads whose declaration names inputs that do not exist.
import { registerHeadKind } from '../../lib/heads';
import type { Heads } from '../../lib/heads/heads';
import { MtpModel } from '../../lib/model/model';
import { openDevice, type Device } from '../../lib/tensor/device';
import { foretokenError } from '../support/errors';
import { tinyModel } from '../support/training';

let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 1 })));
afterEach(() => device.dispose());

const heads = (declared: object): object => ({ reads: [], layers: 0, forward: () => undefined, ...declared });

it.each([
  ['nothing', undefined, 'is missing; it must be an object with reads, layers and forward'],
  ['no function', heads({ forward: 1 }), 'must be an object with reads, layers and forward'],
  ['no list', heads({ reads: undefined }), 'reads is missing; it must be an array of names of inputs'],
  ['layers of no number', heads({ layers: 0.5 }), 'layers must be an integer'],
  [
    'a wrong name',
    heads({ reads: ['z', 'hiden'] }),
    'reads[1] must be one of z, hidden, previous, tokens, root, but is "hiden"',
  ],
  ['features without layers', heads({ reads: ['features'] }), 'reads[0] must be one of'],
  [
    'no feature',
    heads({ reads: [{ features: [] }] }),
    'reads[0].features must be an array of at least one layer',
  ],
  [
    "head 1's layer",
    heads({ reads: [{ features: [0, 2] }] }),
    'reads[0].features[1] must be an integer from 0 to 1, but is 2',
  ],
])('%s', (name, made, message) => {
  registerHeadKind({ kind: name, create: () => made as Heads });
  const make = (): MtpModel =>
    new MtpModel(device, { ...tinyModel(name, 2), vocabSize: 10, numHiddenLayers: 3 });
  expect(make).toThrow(foretokenError('INVALID_ARGUMENT', `heads of kind ${name}`));
  expect(make).toThrow(message);
});
