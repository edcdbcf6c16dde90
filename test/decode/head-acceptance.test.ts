// Estimates of how likely drafts of heads are, on simulated heads.
import type { HeadDrafts } from '../../lib/decode/draft-tree';
import { HeadAcceptance } from '../../lib/decode/head-acceptance';
import { Random } from '../support/random';

/** Two heads with tokens 0, 1, 2. */
function draftsOf(...weights: number[]): HeadDrafts {
  return { depth: 2, width: 3, tokens: [0, 1, 2, 0, 1, 2], weights };
}

test('without observations, drafts are as likely as heads say', () => {
  const { onPath, offPath } = new HeadAcceptance(2).rate(draftsOf(0.6, 0.2, 0.1, 0.995, 0.005, 0));
  for (const rates of [onPath, offPath]) {
    [0.6, 0.2, 0.1, 0.995, 0.005, 0].forEach((weight, i) => expect(rates[i]).toBeCloseTo(weight, 0.9));
  }
});

test('drafts are as likely as similar drafts were before', () => {
  const acceptance = new HeadAcceptance(2);
  const random = new Random(1);
  const sure = draftsOf(0.9, 0.06, 0.04, 0.5, 0.3, 0.2);
  const unsure = draftsOf(0.4, 0.3, 0.2, 0.5, 0.3, 0.2);
  for (let i = 0; i < 4000; i++) {
    const drafts = i % 2 === 0 ? sure : unsure;
    const first = random.next() < (drafts === sure ? 0.8 : 0.3) ? 0 : 1;
    // Below the first token of head 2, head 3 is right in 7 of 10 cases, elsewhere in 2.
    const second = random.next() < (first === 0 ? 0.7 : 0.2) ? 0 : 2;
    acceptance.observe(drafts, [first, second, 0]);
  }
  const [{ onPath, offPath }, other] = [acceptance.rate(sure), acceptance.rate(unsure)];
  expect(onPath[0]).toBeCloseTo(0.8, 1);
  expect(other.onPath[0]).toBeCloseTo(0.3, 1);
  expect(onPath[3]).toBeCloseTo(0.7, 1);
  expect(offPath[3]).toBeCloseTo(0.2, 1);
  expect(onPath[5]).toBeCloseTo(0.3, 1);
  expect(offPath[5]).toBeCloseTo(0.8, 1);
  expect(onPath[4]).toBeCloseTo(0, 1);
});

test('weights that are no probabilities count as 0', () => {
  const acceptance = new HeadAcceptance(2);
  const odd = acceptance.rate(draftsOf(NaN, -1, 5, Infinity, -Infinity, 1));
  expect(odd.onPath).toEqual(acceptance.rate(draftsOf(0, 0, 0, 0, 0, 1)).onPath);
  acceptance.observe(draftsOf(NaN, -1, 5, Infinity, -Infinity, 1), [0, 0]);
});

test('only tokens that are known teach', () => {
  const acceptance = new HeadAcceptance(2);
  const drafts = draftsOf(0.6, 0.2, 0.1, 0.6, 0.2, 0.1);
  const before = acceptance.rate(drafts);
  acceptance.observe(drafts, []);
  expect(acceptance.rate(drafts)).toEqual(before);
  acceptance.observe(drafts, [0]);
  const after = acceptance.rate(drafts);
  expect(after.onPath[0]).toBeGreaterThan(before.onPath[0]!);
  expect(after.onPath.slice(3)).toEqual(before.onPath.slice(3));
});
