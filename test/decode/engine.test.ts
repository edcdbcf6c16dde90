// The engine's slots: nothing of a text is left in its slot, and captures are bounded.
import { CapturedSteps } from '../../lib/decode/captured-steps';
import { DeviceHistory } from '../../lib/decode/device-history';
import { Engine } from '../../lib/decode/engine';
import { LanguageModel } from '../../lib/decode/language-model';
import { newSequence } from '../../lib/decode/sequence';
import { SlotSampling } from '../../lib/decode/slot-sampling';
import { MtpModel } from '../../lib/model/model';
import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import { fillSampling } from '../../lib/tensor/ops/sampling/sampling';
import { randomModel, tokensOf } from '../support/exact';
import { tokenizer } from '../support/training';

let device: Device;
let model: MtpModel;
beforeEach(() => {
  device = openDevice('cpu', { threads: 1, poison: true });
  model = randomModel(device, { kind: 'rooted', numHeads: 3, seed: 5, tied: true, modelType: 'llama' });
});
afterEach(() => {
  model.dispose();
  device.dispose();
});

const sampling = fillSampling('test', {}, 257);

test('a text that cannot get a slot leaves the slot to others', () => {
  using engine = new Engine(model, { slots: 1, draftDepth: 0 });
  const write = jest.spyOn(SlotSampling.prototype, 'write').mockImplementationOnce(() => {
    throw new Error('no memory');
  });
  try {
    expect(() => engine.admit(newSequence([1, 2], sampling))).toThrow('no memory');
    const next = newSequence([1, 2], sampling);
    engine.admit(next);
    expect(next.slot).toBe(0);
  } finally {
    write.mockRestore();
  }
});

test('the penalties of a text that has ended cost later texts nothing', async () => {
  const language = new LanguageModel(model, tokenizer);
  const generate = async (more = {}): Promise<void> => {
    const options = { maxTokens: 6, ignoreEos: true, speculation: { tree: 'chain' }, ...more } as const;
    for await (const piece of language.generate('abc', options)) if (piece.tokens.length === 0) break;
  };
  await generate();
  await generate({ repetitionPenalty: 1.5 });
  const captures = jest.spyOn(native, 'beginCapture');
  try {
    await generate();
    expect(captures).not.toHaveBeenCalled();
  } finally {
    captures.mockRestore();
    language.dispose();
  }
});

test('a text goes on when a tensor that its steps read is replaced by a larger one', async () => {
  // Rotary positions and the texts for penalties both start with fewer than 700 positions.
  const { config } = model;
  using long = new MtpModel(device, { ...config, maxPositionEmbeddings: 1024 }, { seed: 5, masters: false });
  const options = { maxTokens: 700, ignoreEos: true, frequencyPenalty: 0.1 };
  const plain = await tokensOf(long, [1, 2], { ...options, speculation: 'none' });
  expect(plain).toHaveLength(700);
  expect(await tokensOf(long, [1, 2], { ...options, speculation: { tree: 'chain' } })).toEqual(plain);
});

test('no more than 64 forms of steps are kept', () => {
  using cache = model.createCache(64);
  using slots = new SlotSampling(device, 1);
  using history = new DeviceHistory(device, 1);
  const context = { model, cache, sampling: slots, history, drafter: null };
  using steps = new CapturedSteps(context);
  const live: number[] = [];
  for (let rows = 1; rows <= 70; rows++) {
    steps.of({ slots: 1, rows, pathLength: 1, proposal: null, needs: 'nothing', isMasked: false });
    live.push(native.liveTensors());
  }
  expect(live[63]).toBeGreaterThan(live[62]!);
  expect(live[69]).toBe(live[63]);
});
