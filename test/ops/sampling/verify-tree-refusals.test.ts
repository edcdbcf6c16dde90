// verifyTree and the draws refuse bad contents: at the call if the host knows them, at the next readback if only
// the device does.
import { native } from '../../../lib/native/load';
import type { Device } from '../../../lib/tensor/device';
import { linearSample, sampleLogits, type SamplingOptions } from '../../../lib/tensor/ops/sampling/sampling';
import { verifyTree, type VerifyTreeInputs } from '../../../lib/tensor/ops/sampling/verify-tree';
import { Tensor } from '../../../lib/tensor/tensor';
import { onCpu, onDeviceOnly } from '../../support/cpu';
import { onDevice, targets, type Target } from '../../support/devices';
import { takeIndices } from '../../support/draws';
import { foretokenError } from '../../support/errors';
import { wildIndices } from '../../support/trees';

const [ROWS, DIM, VOCAB] = [4, 3, 10];

type Indices = Partial<Record<'tokens' | 'rowOffsets' | 'lengths' | 'parents', number[]>>;
type Make = (device: Device, values: readonly number[], shape?: number[]) => Tensor;

const makers = {
  host: (device, values, shape) => device.tensor(Int32Array.from(values), shape),
  'device alone': (device, values, shape) => onDeviceOnly(device, values, shape),
} satisfies Record<string, Make>;

/** The addon checks contents that the host knows, so one target is enough for these. */
const onTargets: [keyof typeof makers, Target][] = [
  ['host', targets[0]!],
  ...targets.map((target) => ['device alone', target] as ['device alone', Target]),
];

function inputs(device: Device, indices: Indices, make: Make): VerifyTreeInputs {
  const { tokens = [1, 2, 3, 4], rowOffsets = [0, 4], lengths = [5], parents = [-1, 0, 0, 1] } = indices;
  return {
    hidden: device.zeros([ROWS, DIM]),
    weight: device.zeros([VOCAB, DIM]),
    tokens: make(device, tokens),
    tree: {
      rowOffsets: make(device, rowOffsets),
      lengths: make(device, lengths),
      parents: make(device, parents),
    },
  };
}

async function verified(device: Device, given: VerifyTreeInputs): Promise<void> {
  await verifyTree(given).counts.data();
  await device.synchronize();
}

describe.each(onTargets)('indices known to the %s, on %s', (where, target) => {
  const make = makers[where];
  it.each<[string, Indices, ...string[]]>([
    ['a parent behind its child', { parents: [-1, 2, 0, 1] }, 'parents[1] is 2', '0 … 0'],
    ['its own parent', { parents: [-1, 0, 2, 1] }, 'parents[2] is 2', '0 … 1'],
    ['a parent out of range', { parents: [-1, 0, 0, 99] }, 'parents[3] is 99', '0 … 2'],
    ['a negative parent', { parents: [-1, 0, 0, -7] }, 'parents[3] is -7'],
    ['a second root', { parents: [-1, 0, -1, 0] }, 'parents[2] is -1', '0 … 1'],
    ['a root with a parent', { parents: [0, 0, 0, 0] }, 'parents[0] is 0'],
    [
      'a parent in another sequence',
      { rowOffsets: [0, 2, 4], lengths: [1, 1], parents: [-1, 0, -1, 1] },
      'parents[3] is 1',
    ],
    [
      'a sequence that does not begin with its root',
      { rowOffsets: [0, 1, 4], lengths: [1, 1] },
      'parents[1] is 0',
    ],
    ['offsets that do not begin at 0', { rowOffsets: [1, 4] }, 'rowOffsets[0] is 1'],
    ['offsets that fall', { rowOffsets: [0, 5, 4], lengths: [1, 1] }, 'rowOffsets'],
    [
      'offsets just beyond the rows',
      { rowOffsets: [0, 5] },
      'rowOffsets[1] is 5',
      '0 … 4 (the number of rows)',
    ],
    ['offsets beyond the rows', { rowOffsets: [0, 2000000000] }, 'rowOffsets[1] is 2000000000'],
    ['a negative length', { lengths: [-1] }, 'lengths[0] is -1'],
    ['a length at the end of int32', { lengths: [2147483647] }, 'lengths[0] is 2147483647'],
    ['a token out of range', { tokens: [1, 2, 10, 4] }, 'tokens[2] is 10', '0 … 9'],
    ['a negative token', { tokens: [-1, 2, 3, 4] }, 'tokens[0] is -1'],
  ])('%s', async (_name, indices, ...parts) => {
    await onDevice(target, async (device) => {
      const error = foretokenError('INDEX_OUT_OF_RANGE', 'verifyTree', ...parts);
      await expect((async () => verified(device, inputs(device, indices, make)))()).rejects.toEqual(error);
      await verified(device, inputs(device, {}, make)); // the device stays usable
    });
  });

  it('a tree too deep for the results', async () => {
    await onDevice(target, async (device) => {
      const error = foretokenError('INDEX_OUT_OF_RANGE', 'depth of row[3] is 2', '0 … 1 (maxDepth)');
      const run = async (maxDepth: number): Promise<void> =>
        verified(device, { ...inputs(device, {}, make), maxDepth });
      await expect(run(1)).rejects.toEqual(error);
      await run(2);
      await run(7);
    });
  });

  it('a history with tokens out of range', async () => {
    await onDevice(target, async (device) => {
      const logits = device.zeros([1, 5]);
      const [at, options] = [make(device, [0], [1]), { repetitionPenalty: 2 }];
      expect(() => sampleLogits(logits, at, options, { tokens: [1, 5], promptLength: 0 })).toThrow(
        foretokenError('INDEX_OUT_OF_RANGE', 'sampleLogits: history[1] is 5', '0 … 4'),
      );
      const given = {
        ...inputs(device, {}, make),
        sampling: options,
        history: [{ tokens: [1, -2], promptLength: 0 }],
      };
      expect(() => verifyTree(given)).toThrow(
        foretokenError('INDEX_OUT_OF_RANGE', 'verifyTree: history[1] is -2'),
      );
    });
  });
});

describe.each(targets)('histories on %s known to the device alone', (target) => {
  const text = {
    tokens: [
      [1, 2, 3],
      [4, 5, 6],
    ],
    lengths: [3, 2],
    promptLengths: [1, 0],
  };
  it.each<[string, Partial<typeof text>, string]>([
    [
      'a token out of range',
      {
        tokens: [
          [1, 2, 10],
          [4, 5, 6],
        ],
      },
      'history[2] is 10, but must be in 0 … 9',
    ],
    [
      'a negative token',
      {
        tokens: [
          [1, 2, 3],
          [4, -5, 6],
        ],
      },
      'history[1] is -5',
    ],
    ['a length beyond the row', { lengths: [3, 4] }, 'historyLengths[1] is 4, but must be in 0 … 3'],
    ['a negative length', { lengths: [-1, 2] }, 'historyLengths[0] is -1'],
  ])('%s', async (_, change, message) => {
    await onDevice(target, async (device) => {
      const run = async ({ tokens, lengths, promptLengths }: typeof text): Promise<void> => {
        const history = {
          tokens: onDeviceOnly(device, tokens.flat(), [2, 3]),
          lengths: onDeviceOnly(device, lengths),
          promptLengths: onDeviceOnly(device, promptLengths),
        };
        const indices = { rowOffsets: [0, 2, 4], lengths: [5, 5], parents: [-1, 0, -1, 2] };
        const sampling = { presencePenalty: 1 };
        return verified(device, { ...inputs(device, indices, onDeviceOnly), sampling, history });
      };
      const error = foretokenError('INDEX_OUT_OF_RANGE', `verifyTree: ${message}`);
      await expect(run({ ...text, ...change })).rejects.toEqual(error);
      await run(text);
    });
  });

  it('a biased token out of range', async () => {
    await onDevice(target, async (device) => {
      const [positions, logits] = [onDeviceOnly(device, [0]), device.zeros([1, 5])];
      const [tokens, values] = [onDeviceOnly(device, [4, 5]), device.zeros([2])];
      const sampling = [0, 0, 1, 0, 1, 0, 0, 0n] as const;
      const run = async (): Promise<number[]> => {
        const handle = native.sampleLogits(
          ...([logits.handle, positions.handle, undefined, 0, ...sampling] as const),
          ...([tokens.handle, values.handle] as const),
        );
        return takeIndices(new Tensor(device, handle));
      };
      const message = 'sampleLogits: logitBias[1] is 5, but must be in 0 … 4';
      await expect(run()).rejects.toEqual(foretokenError('INDEX_OUT_OF_RANGE', message));
    });
  });
});

// A typed array would silently convert these to other tokens.
it.each([1.5, NaN, 2 ** 32 + 1, '1', undefined])('a history with token %p', async (token) => {
  await onCpu({}, async (device) => {
    const options = { repetitionPenalty: 2 };
    const history = { tokens: [0, token as number], promptLength: 0 };
    const [logits, at] = [device.zeros([1, 5]), device.tensor(Int32Array.of(0))];
    expect(() => sampleLogits(logits, at, options, history)).toThrow(
      foretokenError(
        'INVALID_ARGUMENT',
        `sampleLogits: history.tokens[1] must be a 32-bit integer, but is ${token}`,
      ),
    );
    const given = { ...inputs(device, {}, onDeviceOnly), sampling: options };
    const made = native.liveTensors();
    expect(() => verifyTree({ ...given, history: [history] })).toThrow(
      foretokenError(
        'INVALID_ARGUMENT',
        `verifyTree: history[0].tokens[1] must be a 32-bit integer, but is ${token}`,
      ),
    );
    expect(() => verifyTree({ ...given, history: [{ tokens: [0], promptLength: token as number }] })).toThrow(
      foretokenError('INVALID_ARGUMENT', 'verifyTree: history[0].promptLength'),
    );
    expect(native.liveTensors()).toBe(made);
  });
});

describe('shapes', () => {
  const broken: [string, (device: Device) => Partial<VerifyTreeInputs>, ...string[]][] = [
    ['hidden of another width', (device) => ({ hidden: device.zeros([ROWS, 4]) }), '[4, 4]', '[10, 3]'],
    ['hidden of one dimension', (device) => ({ hidden: device.zeros([ROWS]) }), 'hidden'],
    ['no vocabulary', (device) => ({ weight: device.zeros([0, DIM]) }), 'weight is [0, 3]'],
    ['bias of another size', (device) => ({ bias: device.zeros([9]) }), 'bias is [9]', '[10]'],
    ['too few tokens', (device) => ({ tokens: device.empty([3], 'int32') }), 'tokens is [3]', '[4]'],
  ];
  it.each(broken)('%s', async (_, change, ...parts) => {
    await onCpu({}, async (device) => {
      const given = { ...inputs(device, {}, makers.host), ...change(device) };
      expect(() => verifyTree(given)).toThrow(foretokenError('SHAPE_MISMATCH', 'verifyTree', ...parts));
    });
  });
});

describe.each(targets)('nothing to do on %s', (target) => {
  it('no rows and no sequences are fine', async () => {
    await onDevice(target, async (device) => {
      const none = device.empty([0], 'int32');
      const tree = { rowOffsets: device.tensor(Int32Array.of(0)), lengths: none, parents: none };
      const weight = device.zeros([VOCAB, DIM]);
      const result = verifyTree({ hidden: device.zeros([0, DIM]), weight, tokens: none, tree });
      expect(await takeIndices(result.counts)).toEqual([]);
      expect(await takeIndices(linearSample(device.zeros([0, DIM]), weight))).toEqual([]);
      expect(await takeIndices(sampleLogits(device.zeros([0, 5]), none, { temperature: 1 }))).toEqual([]);
    });
  });

  it('a sequence without rows commits nothing', async () => {
    await onDevice(target, async (device) => {
      const indices = { rowOffsets: [0, 2, 2, 4], lengths: [5, 5, 5], parents: [-1, 0, -1, 2] };
      for (const sampling of [{}, { logitBias: new Map([[0, 0]]) }]) {
        const result = verifyTree({ ...inputs(device, indices, makers.host), sampling });
        expect(await takeIndices(result.counts)).toEqual([1, 0, 1]);
        expect(await takeIndices(result.path)).toEqual([0, -1, -1, -1, 2, -1]);
      }
    });
  });

  it('padding alone commits nothing', async () => {
    await onDevice(target, async (device) => {
      const [tokens, parents] = [wildIndices(ROWS), wildIndices(ROWS)];
      const indices = { tokens, parents, rowOffsets: [0, 0, 0], lengths: [5, 7] };
      for (const sampling of [{}, { temperature: 1 }, { logitBias: new Map([[0, 0]]) }]) {
        for (const make of Object.values(makers)) {
          const result = verifyTree({ ...inputs(device, indices, make), sampling });
          expect(await takeIndices(result.counts)).toEqual([0, 0]);
          expect(new Set(await takeIndices(result.path))).toEqual(new Set([-1]));
        }
      }
    });
  });
});

describe('options', () => {
  it.each<[SamplingOptions, ...string[]]>([
    [{ temperature: -1 }, 'sampleLogits: temperature must be 0, or a number from', '-1'],
    [{ temperature: NaN }, 'temperature'],
    [{ temperature: 1e-9 }, 'temperature must be 0, or a number from 0.000001 to 1000000', '1e-9'],
    [{ temperature: '1' as unknown as number }, 'temperature must be 0, or a number', 'but is "1"'],
    [{ topK: -1 }, 'topK must be an integer from 0 to 2147483647', '-1'],
    [{ topK: 2.5 }, 'topK must be an integer', '2.5'],
    [{ topP: 1.1 }, 'topP must be a number from 0 to 1', '1.1'],
    [{ minP: -0.1 }, 'minP must be a number from 0 to 1', '-0.1'],
    [{ repetitionPenalty: 0 }, 'repetitionPenalty must be a number from 0.001 to 1000', '0'],
    [{ frequencyPenalty: Infinity }, 'frequencyPenalty', 'Infinity'],
    [{ presencePenalty: 1e9 }, 'presencePenalty must be a number from -10000 to 10000'],
    [{ seed: -1 }, 'seed'],
    [{ seed: 1.5 }, 'seed'],
    [{ seed: 2n ** 64n }, 'seed must be an integer from 0 to 2^64-1'],
    [{ logitBias: new Map([[5, 1]]) }, 'token of logitBias must be an integer from 0 to 4, but is 5'],
    [{ logitBias: new Map([[0.5, 1]]) }, 'logitBias: token must be an integer', '0.5'],
    [{ logitBias: new Map([[1, NaN]]) }, 'logitBias of token 1', 'NaN'],
    [{ logitBias: new Map([[1, Infinity]]) }, 'logitBias of token 1', 'Infinity'],
    [{ presencePenalty: 1 }, 'history is needed'],
  ])('%j', async (options, ...parts) => {
    await onCpu({}, async (device) => {
      const [logits, positions] = [device.zeros([1, 5]), device.tensor(Int32Array.of(0))];
      const error = foretokenError('INVALID_ARGUMENT', ...parts);
      expect(() => sampleLogits(logits, positions, options)).toThrow(error);
    });
  });

  it('positions are needed to draw by chance', async () => {
    await onCpu({}, async (device) => {
      expect(() => linearSample(device.zeros([1, 2]), device.zeros([3, 2]), { temperature: 1 })).toThrow(
        foretokenError('INVALID_ARGUMENT', 'linearSample', 'positions are needed'),
      );
    });
  });
});
