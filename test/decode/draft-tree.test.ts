// Trees of drafted tokens: plans that are planted with tokens, and unions.
import fc from 'fast-check';
import { DraftTreeBuilder, merge, plant, type DraftTree, type HeadDrafts } from '../../lib/decode/draft-tree';
import { chain, full } from '../../lib/decode/tree';

/** Two heads with three tokens each. */
const drafts: HeadDrafts = {
  ...{ depth: 2, width: 3 },
  tokens: Int32Array.of(10, 11, 12, 20, 21, 22),
  weights: new Float32Array(6).fill(1 / 3),
};

/** The tokens along the path to each draft node, in the order of the nodes. */
function pathsOf({ tokens, parents }: DraftTree): string[] {
  const paths: string[] = [''];
  for (let node = 1; node < tokens.length; node++) {
    paths.push(`${paths[parents[node]!]!} ${tokens[node]!}`.trim());
  }
  return paths.slice(1);
}

function treeOf(root: number, paths: readonly (readonly number[])[]): DraftTree {
  const builder = new DraftTreeBuilder(root);
  for (const path of paths) path.reduce((parent, token) => builder.add(parent, token), 0);
  return builder.build();
}

const anyPaths = fc.array(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 4 }), {
  maxLength: 8,
});

test('a plan is planted with the tokens of its ranks', () => {
  const tree = plant(full([2, 3]), 7, drafts);
  expect(tree).toEqual({
    tokens: Int32Array.of(7, 10, 11, 20, 21, 22, 20, 21, 22),
    parents: Int32Array.of(-1, 0, 0, 1, 1, 1, 2, 2, 2),
    depths: Int32Array.of(0, 1, 1, 2, 2, 2, 2, 2, 2),
    maxDepth: 2,
  });
});

test('nodes that were not drafted are left out, with all below them', () => {
  // Depth 3 and rank 3 were not drafted.
  expect(pathsOf(plant(chain(4), 7, drafts))).toEqual(['10', '10 20']);
  expect(pathsOf(plant(full([4, 1]), 7, drafts))).toEqual(['10', '11', '12', '10 20', '11 20', '12 20']);
  expect(pathsOf(plant(full([4, 1]), 7, { ...drafts, depth: 0 }))).toEqual([]);
});

test('a union has the paths of both trees, each once', () => {
  fc.assert(
    fc.property(anyPaths, anyPaths, (a, b) => {
      const union = merge(treeOf(5, a), treeOf(5, b), 64);
      const paths = pathsOf(union);
      expect(new Set(paths)).toEqual(new Set([...pathsOf(treeOf(5, a)), ...pathsOf(treeOf(5, b))]));
      expect(new Set(paths).size).toBe(paths.length);
      expect(union.tokens[0]).toBe(5);
      union.parents.forEach((parent, node) => {
        expect(parent).toBeLessThan(node);
        expect(union.depths[node]).toBe(node === 0 ? 0 : union.depths[parent]! + 1);
      });
      expect(union.maxDepth).toBe(Math.max(...union.depths));
    }),
  );
});

test('a union that is too large keeps the first tree, then the first nodes of the second that fit', () => {
  const a = treeOf(5, [[1, 2], [3]]);
  const b = treeOf(5, [[3, 4], [9]]);
  expect(pathsOf(merge(a, b, 9))).toEqual(['1', '1 2', '3', '3 4', '9']);
  expect(pathsOf(merge(a, b, 4))).toEqual(['1', '1 2', '3', '3 4']);
  expect(pathsOf(merge(a, b, 2))).toEqual(['1', '1 2']);
  expect(pathsOf(merge(a, b, 0))).toEqual([]);
  // 4 hangs on 3, which did not fit.
  expect(pathsOf(merge(treeOf(5, [[1, 2]]), b, 2))).toEqual(['1', '1 2']);
});
