// Drafts of several sequences in falling probability.
import fc from 'fast-check';
import type { Candidates } from '../../lib/decode/best-first';
import { countDrafts, rankDrafts } from '../../lib/decode/draft-ranking';

const candidates: fc.Arbitrary<Candidates> = fc
  .array(fc.tuple(fc.double({ min: 0.01, max: 1, noNaN: true }), fc.boolean()), { maxLength: 8 })
  .map((drafts) => {
    const sorted = drafts.sort(([a], [b]) => b - a);
    const zeros = new Array<number>(drafts.length + 1).fill(0);
    return {
      tokens: zeros,
      parents: zeros,
      depths: zeros,
      probabilities: [1, ...sorted.map(([probability]) => probability)],
      isFromHeads: [false, ...sorted.map(([, isFromHeads]) => isFromHeads)],
    };
  });

test('ranks the drafts of all sequences together, and counts those of each', () => {
  fc.assert(
    fc.property(
      fc.array(candidates, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 0, max: 30 }),
      (all, most) => {
        const ranking = rankDrafts(all, most);
        const drafts = all
          .flatMap(({ probabilities, isFromHeads }) =>
            probabilities
              .slice(1)
              .map((probability, i) => ({ probability, isFromHeads: isFromHeads[i + 1] })),
          )
          .sort((a, b) => b.probability - a.probability);
        expect(ranking.sequences).toHaveLength(Math.min(most, drafts.length));
        expect(ranking.accepted).toHaveLength(ranking.sequences.length + 1);
        let sum = 0;
        ranking.accepted.forEach((accepted, n) => {
          expect(accepted).toBeCloseTo(sum, 10);
          sum += drafts[n]?.probability ?? 0;
        });
        for (let n = 0; n <= ranking.sequences.length; n++) {
          const counts = countDrafts(ranking.sequences, n, all.length);
          // The first drafts of each sequence make up the sum.
          const expected = all.reduce(
            (total, { probabilities }, i) =>
              total + probabilities.slice(1, 1 + counts[i]!).reduce((a, b) => a + b, 0),
            0,
          );
          expect(ranking.accepted[n]).toBeCloseTo(expected, 10);
        }
      },
    ),
  );
});

test('ranks drafts that would be there without heads', () => {
  const none = [0, 0, 0, 0];
  const drafts = { tokens: none, parents: none, depths: none };
  const ranking = rankDrafts(
    [
      {
        ...drafts,
        probabilities: [1, 0.9, 0.5, 0.25],
        isFromHeads: [false, true, false, true],
      },
      { ...drafts, probabilities: [1, 0.75, 0.125, 0.01], isFromHeads: [false, false, false, false] },
    ],
    5,
  );
  expect(ranking.sequences).toEqual([0, 1, 0, 0, 1]);
  expect(ranking.acceptedWithoutHeads).toEqual([0, 0.75, 1.25, 1.375]);
});
