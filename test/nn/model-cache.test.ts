// The cache of a model with recurrent layers: saved states, and what it refuses.
import type { MtpModel } from '../../lib/model/model';
import type { ModelCache } from '../../lib/nn/model-cache';
import { noGrad } from '../../lib/tensor/autograd';
import type { Device } from '../../lib/tensor/device';
import { nextPositions } from '../../lib/decode/next-positions';
import { scope } from '../../lib/tensor/scope';
import { native } from '../../lib/native/load';
import { onCpu } from '../support/cpu';
import { foretokenError } from '../support/errors';
import { randomModel } from '../support/exact';

const TOKENS = Array.from({ length: 20 }, (_, i) => (i * 37) % 256);

const hybrid = (device: Device): MtpModel =>
  randomModel(device, { kind: 'recursive', numHeads: 2, seed: 3, tied: true, modelType: 'qwen3_5_text' });

/** Reads tokens of sequence 0, commits them, and returns the hidden states. */
async function read(model: MtpModel, cache: ModelCache, tokens: readonly number[]): Promise<Float32Array> {
  const { device } = model;
  const count = tokens.length;
  cache.reserve(0, cache.lengths[0]! + count);
  model.tables.reserve(cache.lengths[0]! + count);
  using hidden = noGrad(() =>
    scope(() => {
      const rows = nextPositions(cache, count);
      const states = model.states(device.tensor(Int32Array.from(tokens)), rows);
      const path = device.tensor(Int32Array.from(tokens.keys()), [1, count]);
      cache.commit(rows.tree, path, device.tensor(Int32Array.of(count)));
      return states.hidden;
    }),
  );
  cache.advance([count]);
  return (await hidden.data()) as Float32Array;
}

test('a text goes on from its saved state and from the beginning with the same bits', async () => {
  await onCpu({ threads: 2 }, async (device) => {
    using model = hybrid(device);
    using cache = model.createCache(64);
    const first = await read(model, cache, TOKENS.slice(0, 9));
    cache.save(0);
    const second = await read(model, cache, TOKENS.slice(9));
    cache.restore(0, 9);
    expect(await read(model, cache, TOKENS.slice(9))).toEqual(second);
    cache.restore(0, 9);
    expect(cache.lengths[0]).toBe(9);
    expect(await read(model, cache, [1, 2, 3])).not.toEqual(second.subarray(0, (second.length / 11) * 3));
    cache.restore(0, 0);
    expect(await read(model, cache, TOKENS.slice(0, 9))).toEqual(first);
  });
});

test('a position whose state was not saved is refused, and the text stays', async () => {
  await onCpu({ threads: 1 }, async (device) => {
    using model = hybrid(device);
    using cache = model.createCache(64);
    await read(model, cache, TOKENS.slice(0, 9));
    expect(() => cache.restore(0, 4)).toThrow(
      foretokenError('INVALID_ARGUMENT', 'no state at length 4', 'none was saved'),
    );
    cache.save(0);
    await read(model, cache, TOKENS.slice(9));
    expect(() => cache.restore(0, 8)).toThrow(foretokenError('INVALID_ARGUMENT', 'length 8', 'that of 9'));
    expect(() => cache.restore(0, 21)).toThrow(
      foretokenError('INVALID_ARGUMENT', 'length', 'from 0 to 20', '21'),
    );
    expect(() => cache.save(1)).toThrow(foretokenError('INVALID_ARGUMENT', 'sequence', '1'));
    expect(cache.lengths[0]).toBe(20);
    cache.release(0);
    expect(cache.lengths[0]).toBe(0);
  });
});

test('a step leaves nothing behind when it ends or the cache is disposed of', async () => {
  await onCpu({ threads: 1 }, async (device) => {
    using model = hybrid(device);
    // The first pass packs the weights.
    {
      using other = model.createCache(64);
      await read(model, other, TOKENS);
    }
    const before = native.liveTensors();
    const cache = model.createCache(64);
    await read(model, cache, TOKENS);
    expect(native.liveTensors()).toBe(before);
    cache.reserve(0, 41);
    // A pass whose rows are never committed.
    noGrad(() => scope(() => void model.states(device.tensor(Int32Array.of(1)), nextPositions(cache, 1))));
    cache.dispose();
    expect(native.liveTensors()).toBe(before);
    await device.synchronize();
  });
});

test('recurrent layers refuse rows of training', async () => {
  await onCpu({ threads: 1 }, async (device) => {
    using model = hybrid(device);
    model.tables.reserve(2);
    const ints = (...values: number[]) => device.tensor(Int32Array.from(values));
    const rows = { kind: 'packed', batch: 1, starts: ints(0, 0), positions: ints(0, 1) } as const;
    expect(() => model.states(ints(1, 2), rows)).toThrow(foretokenError('UNSUPPORTED', 'recurrent layers'));
    await device.synchronize();
  });
});
