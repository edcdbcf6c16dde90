import fc from 'fast-check';
import { RowOrder } from '../../../lib/train/data';
import { permutation } from '../../../lib/train/data/row-order';
import { foretokenError } from '../../support/errors';

function order(count: number, seed: number, epoch: number): number[] {
  const numberAt = permutation(count, seed, epoch);
  return Array.from({ length: count }, (_, place) => numberAt(place));
}

describe('the permutation', () => {
  it('has every number once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), fc.maxSafeInteger(), fc.nat(), (count, seed, epoch) => {
        const numbers = order(count, seed, epoch).sort((a, b) => a - b);
        expect(numbers).toEqual(Array.from({ length: count }, (_, i) => i));
      }),
      { numRuns: 100 },
    );
  });

  it('is the same on every machine', () => {
    // Computed from the same definition in Python.
    expect(order(10, 1, 0)).toEqual([1, 6, 8, 9, 3, 4, 0, 5, 7, 2]);
    expect(order(10, -5, 3)).toEqual([7, 5, 2, 4, 6, 9, 0, 1, 8, 3]);
    expect(permutation(2 ** 32, 2 ** 40 + 3, 7)(123_456_789)).toBe(1_098_005_327);
    expect(permutation(10 ** 9, 2 ** 53 - 1, 2 ** 33)(5)).toBe(480_455_190);
  });

  it('differs with every bit of the seed and with the epoch', () => {
    const seen = new Set<string>();
    const seeds = [0, -1, ...Array.from({ length: 53 }, (_, bit) => 2 ** bit)];
    for (const seed of seeds) seen.add(order(20, seed, 0).join());
    for (let epoch = 1; epoch <= 20; epoch += 1) seen.add(order(20, 0, epoch).join());
    expect(seen.size).toBe(seeds.length + 20);
  });

  it.each([2, 3, 5, 7])('puts each of %d numbers at each place equally often', (count) => {
    const epochs = 2000;
    const counts = Array.from({ length: count * count }, () => 0);
    for (let epoch = 0; epoch < epochs; epoch += 1) {
      order(count, 42, epoch).forEach((number, place) => (counts[place * count + number]! += 1));
    }
    const expected = epochs / count;
    // 5 standard deviations of a binomial count.
    const limit = 5 * Math.sqrt(expected * (1 - 1 / count));
    for (const observed of counts) expect(Math.abs(observed - expected)).toBeLessThan(limit);
  });

  it('produces every order of 4 numbers', () => {
    const seen = new Set<string>();
    for (let epoch = 0; epoch < 400; epoch += 1) seen.add(order(4, 3, epoch).join());
    expect(seen.size).toBe(24);
  });

  it('separates neighbours', () => {
    const numbers = order(10_000, 5, 0);
    const steps = numbers.slice(1).map((number, i) => Math.abs(number - numbers[i]!));
    // For a random order the mean distance is a third of the count; its standard error is about 24.
    const mean = steps.reduce((a, b) => a + b, 0) / steps.length;
    expect(Math.abs(mean - 10_000 / 3)).toBeLessThan(120);
  });
});

describe('the order of rows', () => {
  it('has every row once in each epoch, in another order each time', () => {
    const rows = new RowOrder(50, 9);
    const [first, second] = [rows.next(50), rows.next(50)];
    for (const epoch of [first, second]) expect(new Set(epoch).size).toBe(50);
    expect(first).not.toEqual(second);
    expect(rows.state).toEqual({ epoch: 1, index: 50 });
  });

  it('continues exactly from its state', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.nat(60),
        fc.array(fc.nat(9)),
        (count, taken, batches) => {
          const whole = new RowOrder(count, 1);
          whole.next(taken);
          const state = JSON.parse(JSON.stringify(whole.state)) as typeof whole.state;
          const resumed = new RowOrder(count, 1, state);
          for (const size of batches) expect(resumed.next(size)).toEqual(whole.next(size));
        },
      ),
    );
  });

  it('does not depend on the batch size', () => {
    const [ones, sevens] = [new RowOrder(10, 1), new RowOrder(10, 1)];
    expect(Array.from({ length: 21 }, () => ones.next(1)).flat()).toEqual(
      Array.from({ length: 3 }, () => sevens.next(7)).flat(),
    );
  });

  it('refuses invalid arguments', () => {
    const invalid = (problem: string) => foretokenError('INVALID_ARGUMENT', problem);
    expect(() => new RowOrder(0, 1)).toThrow(invalid('rows'));
    expect(() => new RowOrder(2 ** 33, 1)).toThrow(invalid('rows'));
    expect(() => new RowOrder(5, 0.5)).toThrow(invalid('seed'));
    expect(() => new RowOrder(5, 1, { epoch: -1, index: 0 })).toThrow(invalid('epoch'));
    expect(() => new RowOrder(5, 1, { epoch: 0, index: 6 })).toThrow(
      invalid('index must be an integer from 0 to 5'),
    );
  });
});
