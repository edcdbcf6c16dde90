import { nearest } from './half';

/** Rounds the result of each step of a computation. */
export type Rounding = (x: number) => number;

/** Makes both roundings from the same function, because V8 inlines a call whose target is always the same function. */
const rounding =
  (single: boolean): Rounding =>
  (x) =>
    single ? Math.fround(x) : x;

/** The rounding of the oracle: none. */
export const exact = rounding(false);
/** The rounding of the plain float32 computation that kernels are measured against. */
export const float32 = rounding(true);

/** The truncation of tensor cores, which cut off aligned terms before they add them. */
export const cutOff: Rounding = (x) => {
  const nearest = Float32Array.of(x);
  if (Math.abs(nearest[0]!) > Math.abs(x)) new Int32Array(nearest.buffer)[0]! -= 1;
  return nearest[0]!;
};

/** Largest |a − b|. NaN counts as infinitely far. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`${a.length} values to compare with ${b.length}`);
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Infinity : difference;
  }
  return largest;
}

/**
 * Expects `actual` to be at most twice as far from the oracle as plain float32 arithmetic is, plus a few units in the last
 * place of the largest number, or of `size` if the numbers are differences of larger ones.
 */
export function expectAsGoodAsFloat32(
  actual: ArrayLike<number>,
  oracle: ArrayLike<number>,
  plain: ArrayLike<number>,
  size = distance(oracle, new Float64Array(oracle.length)),
): void {
  expect(distance(actual, oracle)).toBeLessThanOrEqual(2 * distance(plain, oracle) + size * 2 ** -22);
}

/**
 * Expects every element within a number of roundings to float32 (2⁻²⁴ each), relative to the oracle or, for differences of
 * larger numbers, to `sizes`.
 */
export function expectWithinRoundings(
  actual: ArrayLike<number>,
  oracle: ArrayLike<number>,
  roundings: number,
  sizes: ArrayLike<number> = oracle,
): void {
  expect(actual).toHaveLength(oracle.length);
  for (let i = 0; i < oracle.length; i++) {
    const allowed = roundings * Math.max(Math.abs(sizes[i]!) * 2 ** -24, 2 ** -149);
    if (Math.abs(actual[i]! - oracle[i]!) <= allowed || Object.is(actual[i], Math.fround(oracle[i]!)))
      continue;
    throw new Error(`element ${i} is ${actual[i]}, but must be ${oracle[i]} ± ${allowed}`);
  }
}

/**
 * Expects every element to be a value rounded once to bfloat16, where the value is within a number of float32 roundings of
 * the oracle, as {@link expectWithinRoundings} counts them.
 */
export function expectRoundedOnce(
  actual: ArrayLike<number>,
  oracle: ArrayLike<number>,
  roundings: number,
  sizes: ArrayLike<number> = oracle,
): void {
  expect(actual).toHaveLength(oracle.length);
  for (let i = 0; i < oracle.length; i++) {
    const allowed = roundings * Math.max(Math.abs(sizes[i]!) * 2 ** -24, 2 ** -149);
    const [low, high] = [oracle[i]! - allowed, oracle[i]! + allowed].map((x) => nearest(x, 'bfloat16'));
    if (actual[i]! >= low! && actual[i]! <= high!) continue;
    throw new Error(`element ${i} is ${actual[i]}, but must be in ${low} … ${high}`);
  }
}

/** Expects float32 numbers with the same bits: 0 differs from −0, and a NaN equals only a NaN with the same bits. */
export function expectSameBits(actual: Float32Array, expected: Float32Array): void {
  expect(actual).toHaveLength(expected.length);
  const [a, b] = [actual, expected].map((x) => new Uint32Array(x.buffer, x.byteOffset, x.length));
  let at = 0;
  while (at < a!.length && a![at] === b![at]) at++;
  expect(at === a!.length ? 'the same bits' : `${actual[at]} where ${expected[at]} was, at ${at}`).toBe(
    'the same bits',
  );
}
