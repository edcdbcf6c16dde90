// What adaptive trees believe of the time of their steps.
import { StepTimes } from '../../lib/decode/step-times';

const sizes = [0, 3, 8];

/** Steps of size 3, with others in between, on a machine of some pace. */
function run(times: StepTimes, pace: number, steps: number): void {
  for (let i = 0; i < steps; i++) {
    if (i % 10 === 5) times.observe(i % 20 === 5 ? 0 : 8, pace * (i % 20 === 5 ? 1 : 4), true);
    // Now and then something else runs.
    times.observe(3, pace * (i % 3 === 0 ? 5 : 2), i < 4 && times.samples(3) < 4);
  }
}

test('are those measured, but for what disturbed them', () => {
  const times = new StepTimes();
  run(times, 1, 40);
  expect(times.estimates(sizes)).toEqual([1, 2, 4]);
  expect(times.samples(8)).toBe(2);
  expect(times.samples(5)).toBe(0);
});

test('follow the pace of the machine at once, also of sizes that have not been tried since', () => {
  const times = new StepTimes();
  run(times, 1, 40);
  // No other size is tried.
  for (let i = 0; i < 12; i++) times.observe(3, 2 * 3, false);
  expect(times.estimates(sizes)).toEqual([3, 6, 12]);
  run(times, 0.5, 40);
  expect(times.estimates(sizes)).toEqual([0.5, 1, 2]);
});

test('a size that is tried while the machine is slow is not believed to be slow', () => {
  const times = new StepTimes();
  run(times, 1, 40);
  for (let i = 0; i < 12; i++) times.observe(3, 10 * 2, false);
  times.observe(8, 10 * 4, true);
  for (let i = 0; i < 12; i++) times.observe(3, 2, false);
  expect(times.estimates(sizes)).toEqual([1, 2, 4]);
});

test('rise with the size, whatever was measured', () => {
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
