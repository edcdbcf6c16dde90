// Trees of drafted tokens: plans that are planted with tokens.
import { plant, type DraftTree, type HeadDrafts } from '../../lib/decode/draft-tree';
import { chain, full } from '../../lib/decode/tree';

/** Two heads with three tokens each. */
const drafts: HeadDrafts = {
  ...{ depth: 2, width: 3 },
  tokens: [10, 11, 12, 20, 21, 22],
  weights: new Array<number>(6).fill(1 / 3),
};

/** The tokens along the path to each draft node, in the order of the nodes. */
function pathsOf({ tokens, parents }: DraftTree): string[] {
  const paths: string[] = [''];
  for (let node = 1; node < tokens.length; node++) {
    paths.push(`${paths[parents[node]!]!} ${tokens[node]!}`.trim());
  }
  return paths.slice(1);
}

test('a plan is planted with the tokens of its ranks', () => {
  const tree = plant(full([2, 3]), 7, drafts);
  expect(tree).toEqual({
    tokens: [7, 10, 11, 20, 21, 22, 20, 21, 22],
    parents: [-1, 0, 0, 1, 1, 1, 2, 2, 2],
    depths: [0, 1, 1, 2, 2, 2, 2, 2, 2],
    maxDepth: 2,
  });
});

test('nodes that were not drafted are left out, with all below them', () => {
  // Depth 3 and rank 3 were not drafted.
  expect(pathsOf(plant(chain(4), 7, drafts))).toEqual(['10', '10 20']);
  expect(pathsOf(plant(full([4, 1]), 7, drafts))).toEqual(['10', '11', '12', '10 20', '11 20', '12 20']);
  expect(pathsOf(plant(full([4, 1]), 7, { ...drafts, depth: 0 }))).toEqual([]);
});
