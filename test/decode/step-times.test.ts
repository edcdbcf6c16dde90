// The step times that adaptive trees estimate.
import { StepTimes } from '../../lib/decode/step-times';

const sizes = [0, 3, 8];

/** Runs steps of size 3, with trials of other sizes in between, on a machine of this pace. */
function run(times: StepTimes, pace: number, steps: number): void {
  for (let i = 0; i < steps; i++) {
    if (i % 10 === 5) times.observe(i % 20 === 5 ? 0 : 8, pace * (i % 20 === 5 ? 1 : 4), true);
    // Other work disturbs every third step.
    times.observe(3, pace * (i % 3 === 0 ? 5 : 2), i < 4 && times.samples(3) < 4);
  }
}

test('equal the measurements without the disturbed ones', () => {
  const times = new StepTimes();
  run(times, 1, 40);
  expect(times.estimates(sizes)).toEqual([1, 2, 4]);
  expect(times.samples(8)).toBe(2);
  expect(times.samples(5)).toBe(0);
});

test('follow the pace of the machine at once, for all sizes', () => {
  const times = new StepTimes();
  run(times, 1, 40);
  // No other size is measured.
  for (let i = 0; i < 12; i++) times.observe(3, 2 * 3, false);
  expect(times.estimates(sizes)).toEqual([3, 6, 12]);
  run(times, 0.5, 40);
  expect(times.estimates(sizes)).toEqual([0.5, 1, 2]);
});

test('are right for a size measured while the machine was slow', () => {
  const times = new StepTimes();
  run(times, 1, 40);
  for (let i = 0; i < 12; i++) times.observe(3, 10 * 2, false);
  times.observe(8, 10 * 4, true);
  for (let i = 0; i < 12; i++) times.observe(3, 2, false);
  expect(times.estimates(sizes)).toEqual([1, 2, 4]);
});

test('rise with the size, whatever the measurements', () => {
  const times = new StepTimes();
  for (const [size, seconds] of [
    [0, 2],
    [3, 1],
    [8, 6],
  ] as const) {
    times.observe(size, seconds, true);
  }
  expect(times.estimates(sizes)).toEqual([1.5, 1.5, 6]);
});
