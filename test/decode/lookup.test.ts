// Earlier occurrences of the end of a text, and the drafts that follow them.
import fc from 'fast-check';
import { Lookup, type Occurrence } from '../../lib/decode/lookup';
import { LookupDrafter } from '../../lib/decode/lookup-drafter';
import type { RatedTree } from '../../lib/decode/best-first';

const tokens = (most: number, options = {}): fc.Arbitrary<number[]> =>
  fc.array(fc.integer({ min: 0, max: most }), { minLength: 1, maxLength: 300, ...options });

/** All earlier occurrences of at least one token, by definition. */
function allOccurrences(text: readonly number[]): Occurrence[] {
  const found: Occurrence[] = [];
  for (let end = 1; end < text.length; end++) {
    let length = 0;
    while (length < Math.min(32, end) && text[end - 1 - length] === text[text.length - 1 - length]) length++;
    if (length > 0) found.push({ end, length });
  }
  return found.sort((a, b) => b.length - a.length || b.end - a.end);
}

function lookupOf(text: readonly number[], pieces: readonly number[] = []): Lookup {
  const lookup = new Lookup();
  let start = 0;
  for (const piece of pieces) lookup.append(text.slice(start, (start += piece)));
  lookup.append(text.slice(start));
  return lookup;
}

/** The tokens of each path from the root, and the estimate of its last node. */
function pathsOf({ tree, conditionals }: RatedTree): Map<string, number> {
  const paths: string[] = [''];
  for (let node = 1; node < tree.tokens.length; node++) {
    paths.push(`${paths[tree.parents[node]!]!} ${tree.tokens[node]!}`.trim());
  }
  return new Map(paths.map((path, node) => [path, conditionals[node]!]));
}

test('finds all occurrences if they are few, the longest first, then the newest', () => {
  fc.assert(
    fc.property(tokens(6, { maxLength: 17 }), fc.array(fc.integer({ min: 0, max: 5 })), (text, pieces) => {
      expect(lookupOf(text, pieces).occurrences()).toEqual(allOccurrences(text));
    }),
  );
});

test('finds at most 16 occurrences, the longest among them', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 3 }).chain((most) => tokens(most)),
      (text) => {
        const all = allOccurrences(text);
        const found = lookupOf(text).occurrences();
        expect(found).toHaveLength(Math.min(16, all.length));
        expect(all).toEqual(expect.arrayContaining(found));
        // N-grams of 8, 4, 2 and 1 tokens are indexed; among longer occurrences of the same n-gram, the newest are found.
        const longest = all[0]?.length ?? 0;
        expect(found[0]?.length ?? 0).toBeGreaterThanOrEqual([8, 4, 2, 1].find((n) => n <= longest) ?? 0);
      },
    ),
  );
});

test('an occurrence that overlaps the end of the text repeats', () => {
  const lookup = lookupOf([9, 1, 2, 1, 2, 1]);
  const [newest] = lookup.occurrences();
  expect(newest).toEqual({ end: 4, length: 3 });
  expect([0, 1, 2, 3, 4].map((ahead) => lookup.following(newest!, ahead))).toEqual([2, 1, 2, 1, 2]);
});

test('finds what was added before the index grew', () => {
  const text = Array.from({ length: 5000 }, (_, i) => i);
  const lookup = lookupOf([...text, 7, 8, 9], new Array<number>(50).fill(100));
  expect(lookup.occurrences()).toEqual([{ end: 10, length: 3 }]);
});

test('takes linear memory', () => {
  for (const length of [0, 1000, 5000, 100_000]) {
    const lookup = lookupOf(Array.from({ length }, (_, i) => (i * i) % 7919));
    expect(lookup.bytes).toBeLessThanOrEqual(72 * length + 37_000);
  }
});

test('a text of one token takes no longer than another', () => {
  // A search that looked at all occurrences would take minutes.
  const drafter = new LookupDrafter();
  drafter.append(new Int32Array(300_000).fill(5));
  for (let i = 0; i < 2000; i++) {
    const drafts = drafter.draft(8)!;
    expect(drafts.tree.tokens).toEqual(new Array(9).fill(5));
    drafter.append([5]);
  }
});

test('drafts what followed, with alternatives', () => {
  const drafter = new LookupDrafter();
  drafter.append([1, 2, 3, 4, 9, 7, 2, 3, 5, 9, 1, 2, 3]);
  const drafts = pathsOf(drafter.draft(3)!);
  // After 1 2 3 came 4 9 7; after 2 3 came 5 9 1, more recently, but as part of a shorter match.
  expect([...drafts.keys()]).toEqual(expect.arrayContaining(['4', '4 9', '4 9 7', '5', '5 9']));
  expect(drafts.get('4')).toBeGreaterThan(drafts.get('5')!);
});

test('the match grows along the path, and with it the estimates', () => {
  const drafter = new LookupDrafter();
  drafter.append([1, 2, 3, 4, 5, 6, 7, 1, 2]);
  const { tree, conditionals } = drafter.draft(3)!;
  expect(tree.tokens).toEqual([2, 3, 4, 5]);
  expect(conditionals[2]).toBeGreaterThan(conditionals[1]!);
  expect(conditionals[3]).toBeGreaterThan(conditionals[2]!);
});

test.each([[[]], [[1]], [[1, 2, 3]]])('%j: no drafts', (text) => {
  const drafter = new LookupDrafter();
  drafter.append(text);
  expect(drafter.draft(5)).toBeNull();
});

test('drafts no deeper than asked', () => {
  const drafter = new LookupDrafter();
  drafter.append([1, 2, 1, 2, 1, 2]);
  expect(drafter.draft(0)).toBeNull();
  expect(drafter.draft(2)!.tree.maxDepth).toBe(2);
  expect(drafter.draft(1000)!.tree.tokens.length).toBeLessThanOrEqual(64);
});

test('learns how likely drafts are in this text', () => {
  const [good, bad] = [new LookupDrafter(), new LookupDrafter()];
  const text = [1, 2, 3, 4, 5, 6, 7, 8];
  for (const drafter of [good, bad]) drafter.append([...text, 20, ...text]);
  const before = pathsOf(good.draft(1)!).get('20')!;
  for (let i = 0; i < 20; i++) {
    good.draft(1);
    good.append([20, ...text]);
    bad.draft(1);
    bad.append([30 + i, ...text]);
  }
  expect(pathsOf(good.draft(1)!).get('20')).toBeGreaterThan(before);
  for (const probability of pathsOf(bad.draft(1)!).values()) expect(probability).toBeLessThan(before);
});
