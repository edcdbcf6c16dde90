// Drafts in falling probability, against all paths that heads and a tree propose.
import fc from 'fast-check';
import { bestFirst, firstDrafts, unite, type RatedHeads, type RatedTree } from '../../lib/decode/best-first';
import { DraftTreeBuilder } from '../../lib/decode/draft-tree';

const ROOT = 99;
const probability = fc.double({ min: 0, max: 1, noNaN: true });

const heads: fc.Arbitrary<RatedHeads> = fc
  .record({ depth: fc.integer({ min: 1, max: 3 }), width: fc.integer({ min: 1, max: 4 }) })
  .chain(({ depth, width }) =>
    fc
      .tuple(
        fc.array(fc.shuffledSubarray([0, 1, 2, 3, 4, 5], { minLength: width, maxLength: width }), {
          minLength: depth,
          maxLength: depth,
        }),
        fc.array(fc.tuple(probability, probability), {
          minLength: depth * width,
          maxLength: depth * width,
        }),
      )
      .map(([tokens, rates]) => ({
        drafts: {
          depth,
          width,
          tokens: tokens.flat(),
          weights: new Array<number>(depth * width).fill(0),
        },
        onPath: rates.map(([on]) => on),
        offPath: rates.map(([, off]) => off),
      })),
  );

const ratedTree: fc.Arbitrary<RatedTree> = fc
  .array(fc.array(fc.integer({ min: 0, max: 7 }), { minLength: 1, maxLength: 4 }), { maxLength: 6 })
  .chain((paths) => {
    const builder = new DraftTreeBuilder(ROOT);
    for (const path of paths) path.reduce((parent, token) => builder.add(parent, token), 0);
    const tree = builder.build();
    const size = tree.tokens.length;
    return fc
      .array(probability, { minLength: size, maxLength: size })
      .map((rates) => ({ tree, conditionals: rates }));
  });

/** The probability of each path, by its tokens, and whether a tree has it. */
type Paths = Map<string, { probability: number; isFromHeads: boolean }>;

/** All paths down to `deepest`, by the definition of the probabilities. */
function allPaths(rated: RatedHeads | null, given: RatedTree | null, deepest: number): Paths {
  const all: Paths = new Map();
  const visit = (path: number[], joint: number, node: number, isOnPath: boolean): void => {
    if (path.length === deepest) return;
    const children = new Map<number, number>();
    const row = path.length;
    const width = rated && row < rated.drafts.depth ? rated.drafts.width : 0;
    for (let at = row * width; at < (row + 1) * width; at++) {
      children.set(rated!.drafts.tokens[at]!, (isOnPath ? rated!.onPath : rated!.offPath)[at]!);
    }
    const proposed = new Map(children);
    const left = Math.max(
      0,
      [...proposed.values()].reduce((rest, rate) => rest - rate, 1),
    );
    const nodes = new Map<number, number>();
    given?.tree.parents.forEach((parent, child) => {
      if (node < 0 || parent !== node) return;
      const token = given.tree.tokens[child]!;
      nodes.set(token, child);
      const byHeads = proposed.get(token);
      const own = given.conditionals[child]!;
      children.set(token, byHeads === undefined ? Math.min(own, left) : Math.max(own, byHeads));
    });
    for (const [token, conditional] of children) {
      const below = [...path, token];
      all.set(below.join(), { probability: joint * conditional, isFromHeads: !nodes.has(token) });
      const isFirst = width > 0 && rated!.drafts.tokens[row * width] === token;
      visit(below, joint * conditional, nodes.get(token) ?? -1, isOnPath && isFirst);
    }
  };
  visit([], 1, given ? 0 : -1, true);
  return all;
}

test('are the likeliest paths of heads and tree, in falling order', () => {
  fc.assert(
    fc.property(
      fc.option(heads),
      fc.option(ratedTree),
      fc.integer({ min: 0, max: 20 }),
      fc.integer({ min: 0, max: 5 }),
      (rated, given, most, deepest) => {
        const candidates = bestFirst(ROOT, rated, given, { most, deepest });
        const { tokens, parents, depths, probabilities, isFromHeads } = candidates;
        const all = allPaths(rated, given, deepest);
        expect([tokens[0], parents[0], depths[0], probabilities[0]]).toEqual([ROOT, -1, 0, 1]);
        const paths: string[] = [''];
        for (let node = 1; node < tokens.length; node++) {
          const above = paths[parents[node]!]!;
          paths.push(above === '' ? String(tokens[node]) : `${above},${tokens[node]}`);
          const expected = all.get(paths[node]!)!;
          expect(probabilities[node]).toBeCloseTo(expected.probability, 12);
          expect(isFromHeads[node]).toBe(expected.isFromHeads);
          expect(depths[node]).toBe(depths[parents[node]!]! + 1);
          expect(probabilities[node]).toBeLessThanOrEqual(probabilities[node - 1]!);
        }
        expect(new Set(paths).size).toBe(paths.length);
        const possible = [...all.values()].map((path) => path.probability).filter((each) => each >= 0.01);
        const best = possible.sort((a, b) => b - a).slice(0, most);
        expect(probabilities.length - 1).toBe(best.length);
        best.forEach((each, i) => expect(probabilities[i + 1]).toBeCloseTo(each, 12));
      },
    ),
  );
});

test('the first drafts are a tree', () => {
  fc.assert(
    fc.property(heads, ratedTree, fc.integer({ min: 0, max: 12 }), (rated, given, nodes) => {
      const candidates = bestFirst(ROOT, rated, given, { most: 12, deepest: 9 });
      const size = Math.min(nodes, candidates.tokens.length - 1);
      const tree = firstDrafts(candidates, size);
      expect(tree.tokens).toEqual(candidates.tokens.slice(0, size + 1));
      expect(tree.parents.every((parent, node) => parent < node)).toBe(true);
      expect(tree.maxDepth).toBe(Math.max(...candidates.depths.slice(0, size + 1)));
    }),
  );
});

test('a union of trees has the higher estimate of every node', () => {
  fc.assert(
    fc.property(ratedTree, ratedTree, (a, b) => {
      const deepest = 9;
      const union = allPaths(null, unite(a, b), deepest);
      const [left, right] = [allPaths(null, a, deepest), allPaths(null, b, deepest)];
      expect(new Set(union.keys())).toEqual(new Set([...left.keys(), ...right.keys()]));
      // Below the root the probability is the estimate itself.
      for (const [path, { probability }] of union) {
        if (path.includes(',')) continue;
        const own = [left, right].map((paths) => paths.get(path)?.probability ?? 0);
        expect(probability).toBe(Math.max(...own));
      }
    }),
  );
});
