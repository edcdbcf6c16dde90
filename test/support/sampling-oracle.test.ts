// Checks the oracle of the sampling tests against published vectors and exact formulas.
import { gumbel, noise, philox, probabilities } from './sampling-oracle';

// Random123, examples/kat_vectors, philox4x32 10.
test.each([
  [[0, 0, 0, 0], 0n, [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    0xffffffffffffffffn,
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    0x299f31d0a4093822n,
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
])('Philox of %p with key %p', (counter, key, expected) => {
  expect(philox(counter, key)).toEqual(expected);
});

test('noise has the mean and the variance of the Gumbel distribution', () => {
  const draws = noise(3, 5, 20000);
  const mean = draws.reduce((total, g) => total + g, 0) / draws.length;
  const variance = draws.reduce((total, g) => total + (g - mean) ** 2, 0) / draws.length;
  expect(Math.abs(mean - 0.5772156649)).toBeLessThan(4 * Math.sqrt(Math.PI ** 2 / 6 / draws.length));
  expect(Math.abs(variance / (Math.PI ** 2 / 6) - 1)).toBeLessThan(0.06);
});

test('noise is finite at both ends', () => {
  expect(gumbel(0)).toBeCloseTo(-Math.log(2 ** -33), 9);
  expect(gumbel(0xffffffff)).toBeCloseTo(-Math.log(33 * Math.log(2)), 9);
});

test('filters keep the tokens of their definition', () => {
  const logits = [0.4, 0.3, 0.2, 0.1].map(Math.log);
  const close = (p: readonly number[], expected: readonly number[]): void =>
    p.forEach((x, i) => expect(x).toBeCloseTo(expected[i]!, 12));
  close(probabilities(logits, { temperature: 1 }), [0.4, 0.3, 0.2, 0.1]);
  close(probabilities(logits, { temperature: 1, topK: 2 }), [4 / 7, 3 / 7, 0, 0]);
  close(probabilities(logits, { temperature: 1, topP: 0.69 }), [4 / 7, 3 / 7, 0, 0]);
  close(probabilities(logits, { temperature: 1, topP: 0.71 }), [4 / 9, 3 / 9, 2 / 9, 0]);
  close(probabilities(logits, { temperature: 1, minP: 0.49 }), [4 / 9, 3 / 9, 2 / 9, 0]);
  close(probabilities(logits, { temperature: 0.5 }), [16 / 30, 9 / 30, 4 / 30, 1 / 30]);
});
