// Texts in a KvCache, whose pages they get and give back while captured steps go on, have the bits of texts alone.
import fc from 'fast-check';
import { native } from '../../lib/native/load';
import { KvCache } from '../../lib/nn/kv-cache';
import { openDevice } from '../../lib/tensor/device';
import { Tensor } from '../../lib/tensor/tensor';
import { expectSameBits } from '../support/accuracy';
import { CapturedStep } from '../support/captured-step';
import { chain, DecodingCache, draftOf, PAGE, pathTo, randomTree, rowWidth } from '../support/decoding-cache';
import { bfloat16Targets, isEmulated, onDevice, targets } from '../support/devices';
import { Random } from '../support/random';

const shape = { heads: 4, kvHeads: 2, headDim: 8, scale: 0.35 };
const sizes = { layers: 1, kvHeads: shape.kvHeads, headDim: shape.headDim };
/** Bytes of a page in float32. */
const PAGE_BYTES = 2 * shape.kvHeads * PAGE * shape.headDim * 4;

const ways = [
  ...targets.map((target) => [target, 'float32'] as const),
  ...bfloat16Targets.map((target) => [target, 'bfloat16'] as const),
];

describe.each(ways)('a KvCache on %s in %s', (target, dtype) => {
  it('gives texts that grow, end and begin beside each other the bits of texts alone, in captured steps', async () => {
    const [sequences, capacity, rows] = [5, 4 * PAGE, 60];
    await onDevice(target, async (device) => {
      const random = new Random(21);
      const live = device.memory().live;
      {
        using cache = new KvCache(device, { ...sizes, capacity, sequences, dtype });
        using step = new CapturedStep(cache, shape, rows, dtype);
        const alone = Array.from(
          { length: sequences },
          () => new DecodingCache(device, shape, { capacity, dtype }),
        );
        let [longest, reused] = [0, 0];
        for (let round = 0; round < (isEmulated(target) ? 24 : 60); round++) {
          const drafts = alone.map((_, s) => {
            // Texts grow at different speeds, and one may sit out.
            const nodes = Math.min(random.integer(2 + 5 * (s % 3)), capacity - cache.lengths[s]!);
            return draftOf(random, shape, s % 2 ? chain(nodes) : randomTree(random, nodes));
          });
          for (const [s, { parents }] of drafts.entries())
            cache.reserve(s, cache.lengths[s]! + parents.length);
          const together = await step.forward(drafts);
          const paths = drafts.map(({ parents }) => pathTo(parents, parents.length - 1));
          step.accept(drafts, paths);
          let from = 0;
          for (const [s, draft] of drafts.entries()) {
            const expected = await alone[s]!.forward(draft);
            expectSameBits(together.slice(from, (from += expected.length)), expected);
            alone[s]!.accept([draft], [paths[s]!]);
          }
          longest = Math.max(longest, ...cache.lengths);
          const s = random.integer(sequences);
          if (random.integer(9) === 0 && cache.lengths[s]! > PAGE) {
            cache.release(s);
            expect([cache.lengths[s], cache.reserved[s]]).toEqual([0, 0]);
            alone[s]![Symbol.dispose]();
            alone[s] = new DecodingCache(device, shape, { capacity, dtype });
            reused++;
          }
        }
        expect(longest).toBeGreaterThan(PAGE);
        if (!isEmulated(target)) expect(reused).toBeGreaterThan(0);
        for (const each of alone) each[Symbol.dispose]();
      }
      expect(device.memory().live).toBe(live);
    });
  });

  it('leaves no trace of a released text', async () => {
    await onDevice(target, async (device) => {
      const random = new Random(22);
      using decoding = new DecodingCache(device, shape, { capacity: 3 * PAGE, sequences: 2, dtype });
      const { cache } = decoding;
      const nothing = draftOf(random, shape, []);
      const secret = chain(3 * PAGE).map(() => new Float32Array(rowWidth(shape)).fill(NaN));
      decoding.append({ parents: chain(3 * PAGE), rows: secret }, nothing);
      const { bytes } = cache;
      cache.release(0);
      cache.release(1);
      cache.reserve(1, 3 * PAGE);
      cache.reserve(0, 3 * PAGE);
      expect(cache.bytes).toBe(bytes);
      expect((await decoding.contents()).every((x) => x === 0)).toBe(true);
    });
  });

  it('keeps the pages of a sequence that grows', async () => {
    await onDevice(target, async (device) => {
      const random = new Random(23);
      using cache = new KvCache(device, { ...sizes, capacity: 9 * PAGE, sequences: 2, dtype });
      const page = async (s: number): Promise<unknown> => {
        using tensor = new Tensor(device, native.kvPage(cache.handle, s, 0));
        return await tensor.data();
      };
      cache.reserve(0, 1);
      using step = new CapturedStep(cache, shape, PAGE, dtype);
      await step.forward([draftOf(random, shape, chain(PAGE)), draftOf(random, shape, [])]);
      const before = await page(0);
      for (const positions of [2, 65, 200, 9 * PAGE]) {
        cache.reserve(1, positions);
        cache.reserve(0, positions);
        expect([...cache.reserved]).toEqual([1, 1].map(() => PAGE * Math.ceil(positions / PAGE)));
      }
      cache.reserve(0, 3);
      expect(cache.reserved[0]).toBe(9 * PAGE);
      expect(await page(0)).toEqual(before);
    });
  });
});

/** A change of a cache, or a step over it. */
const change = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('step' as const),
      nodes: fc.array(fc.nat(20), { minLength: 3, maxLength: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('reserve' as const), s: fc.nat(2), positions: fc.nat(4 * PAGE) }),
  },
  fc.record({ op: fc.constant('release' as const), s: fc.nat(2) }),
  fc.record({ op: fc.constant('truncate' as const), s: fc.nat(2), length: fc.nat(2 * PAGE) }),
);

/** One level of the CPU, one of this run's GPUs, and in every run the emulator that checks accesses. */
const kinds = new Set([...targets.slice(0, 1), ...targets.slice(-1), 'cuda-checked' as const]);

test.each([...kinds])('random programs with little memory on %s', async (target) => {
  const checked = target === 'cuda-checked';
  const [few, many] = checked ? [4, 12] : [12, 40];
  const codes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { minLength: 5, maxLength: many, size: 'max' }),
      fc.nat(10),
      async (steps, spare) => {
        const memoryLimit = (spare + 3) * PAGE_BYTES + 150_000;
        using device = checked
          ? openDevice('cuda-emulated', { memoryLimit, emulator: { checked } })
          : openDevice(isEmulated(target) ? 'cuda-emulated' : target === 'cuda' ? 'cuda' : 'cpu', {
              memoryLimit,
            });
        using roomy = openDevice(isEmulated(target) ? 'cuda-emulated' : target === 'cuda' ? 'cuda' : 'cpu');
        const random = new Random(spare);
        using cache = new KvCache(device, { ...sizes, capacity: 4 * PAGE, sequences: 3 });
        using step = new CapturedStep(cache, shape, 60);
        const alone = Array.from(
          { length: 3 },
          () => new DecodingCache(roomy, shape, { capacity: 4 * PAGE }),
        );
        for (const one of steps) {
          if (one.op === 'truncate') {
            cache.truncate(one.s, one.length);
            alone[one.s]!.lengths[0] = cache.lengths[one.s]!;
          } else if (one.op === 'release') {
            cache.release(one.s);
            alone[one.s] = new DecodingCache(roomy, shape, { capacity: 4 * PAGE });
          } else if (one.op === 'reserve') {
            const before = [...cache.reserved, cache.bytes];
            try {
              cache.reserve(one.s, one.positions);
              expect(cache.reserved[one.s]).toBeGreaterThanOrEqual(one.positions);
            } catch (error) {
              codes.add((error as { code: string }).code);
              expect([...cache.reserved, cache.bytes]).toEqual(before);
            }
          } else {
            const drafts = one.nodes.map((nodes, s) =>
              draftOf(
                random,
                shape,
                randomTree(random, Math.min(nodes, cache.reserved[s]! - cache.lengths[s]!)),
              ),
            );
            const together = await step.forward(drafts);
            const paths = drafts.map(({ parents }) => pathTo(parents, parents.length - 1));
            step.accept(drafts, paths);
            let from = 0;
            for (const [s, draft] of drafts.entries()) {
              const expected = await alone[s]!.forward(draft);
              expectSameBits(together.slice(from, (from += expected.length)), expected);
              alone[s]!.accept([draft], [paths[s]!]);
            }
          }
        }
        await device.synchronize();
      },
    ),
    { numRuns: few, seed: 6 },
  );
  expect([...codes].filter((code) => code !== 'OUT_OF_MEMORY')).toEqual([]);
});
