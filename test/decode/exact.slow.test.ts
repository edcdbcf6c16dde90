// Like exact.test.ts, with more cases, larger models, longer texts and trees of the largest widths.
import { openDevice } from '../../lib/tensor/device';
import { isaLevels } from '../support/cpu';
import { checkExact, headKinds, type Scale } from '../support/exact';

const large: Scale = {
  hiddenSize: 128,
  layers: 3,
  heads: 7,
  promptTokens: 400,
  newTokens: 40,
  width: 63,
};

describe.each(isaLevels)('on %s', (isa) => {
  test.each([1, 2, 3, 4])('with %i threads', async (threads) => {
    using device = openDevice('cpu', { isa, threads, poison: true });
    await checkExact(device, { runs: 40 });
  });

  test.each(['bfloat16', 'int8'] as const)('with weights in %s', async (dtype) => {
    using device = openDevice('cpu', { isa, threads: 2, poison: true });
    await checkExact(device, { runs: 40, dtype });
    await checkExact(device, { runs: 8, dtype, scale: large });
  });

  test.each(headKinds)('large models with %s heads', async (kind) => {
    using device = openDevice('cpu', { isa, threads: 2, poison: true });
    await checkExact(device, { runs: 16, scale: large, kinds: [kind] });
  });
});
