// Estimates of acceptance: counts by kind, and priors that give way where a text proves them wrong.
import { AcceptanceCounts } from '../../lib/decode/acceptance-counts';

const counts = (): AcceptanceCounts => new AcceptanceCounts(Float64Array.of(0.5, 0.8), 2);

function observe(of: AcceptanceCounts, kind: number, outcomes: readonly boolean[]): void {
  for (const isAccepted of outcomes) of.observe(kind, isAccepted);
}

test('begins with the priors and follows the counts', () => {
  const of = counts();
  expect([of.probability(0), of.probability(1)]).toEqual([0.5, 0.8]);
  observe(of, 0, [true, true]);
  // Two made-up trials with a half accepted and two real ones.
  expect(of.probability(0)).toBe(0.75);
});

test('lowers the priors of all kinds where drafts fail more often than these say', () => {
  const of = counts();
  observe(of, 0, new Array<boolean>(20).fill(false));
  // Two made-up trials were accepted, where the priors say twelve of 22.
  expect(of.probability(1)).toBeCloseTo((0.8 * 2) / 12, 12);
});

test('does not raise priors', () => {
  const of = counts();
  observe(of, 0, new Array<boolean>(100).fill(true));
  expect(of.probability(1)).toBe(0.8);
});

test('follows a text that changes', () => {
  const of = counts();
  observe(of, 0, new Array<boolean>(5000).fill(true));
  observe(of, 0, new Array<boolean>(2000).fill(false));
  expect(of.probability(0)).toBeLessThan(0.05);
  expect(of.probability(1)).toBeLessThan(0.2);
});
