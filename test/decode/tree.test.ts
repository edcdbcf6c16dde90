import fc from 'fast-check';
import { MAX_RANK, RankPathStatistics } from '../../lib/decode/rank-path-statistics';
import {
  best,
  buildTree,
  chain,
  expectedTokens,
  expectedTokensBySize,
  full,
  type TreeShape,
} from '../../lib/decode/tree';
import type { TreePlan } from '../../lib/decode/tree-plan';
import { foretokenError } from '../support/errors';

/** Rank path of each node. */
function pathsOf({ parents, ranks }: TreePlan): number[][] {
  const paths: number[][] = [];
  parents.forEach((parent, node) => paths.push(parent < 0 ? [] : [...paths[parent]!, ranks[node]!]));
  return paths;
}

function expectWellFormed(plan: TreePlan): void {
  const { parents, depths, ranks, maxDepth, width } = plan;
  expect([depths.length, ranks.length]).toEqual([parents.length, parents.length]);
  expect([parents[0], depths[0], ranks[0]]).toEqual([-1, 0, 0]);
  for (let node = 1; node < parents.length; node++) {
    expect(parents[node]).toBeGreaterThanOrEqual(0);
    expect(parents[node]).toBeLessThan(node);
    expect(depths[node]).toBe(depths[parents[node]!]! + 1);
    expect(ranks[node]).toBeGreaterThanOrEqual(0);
  }
  expect(maxDepth).toBe(Math.max(...depths));
  expect(width).toBe(1 + Math.max(...ranks));
  const names = pathsOf(plan).map((path) => path.join());
  expect(new Set(names).size).toBe(names.length); // no node twice
}

test('a small vocabulary has no more ranks than tokens', () => {
  const few = new RankPathStatistics(2, 3);
  const plan = best(63, few);
  expectWellFormed(plan);
  expect(plan.parents).toHaveLength(1 + 3 + 9);
  expect(plan.width).toBe(3);
  expect(few.acceptance([3])).toBe(0);
});

/** Statistics of steps with random trees and random accepted paths. */
const statistics = fc
  .record({
    maxDepth: fc.integer({ min: 1, max: 5 }),
    choices: fc.array(fc.array(fc.nat(20), { maxLength: 5 }), { maxLength: 60 }),
  })
  .map(({ maxDepth, choices }) => {
    const result = new RankPathStatistics(maxDepth);
    const plan = full([3, 2, 2].slice(0, maxDepth));
    for (const choice of choices) {
      const path = [0];
      for (const pick of choice) {
        const parent = path.at(-1)!;
        const children = Array.from(plan.parents.keys()).filter((node) => plan.parents[node] === parent);
        if (pick >= children.length) break;
        path.push(children[pick]!);
      }
      result.observe(plan, path);
    }
    return result;
  });

describe('shapes', () => {
  it('are chains', () => {
    const plan = chain(3);
    expectWellFormed(plan);
    expect(plan).toEqual({
      parents: Int32Array.of(-1, 0, 1, 2),
      depths: Int32Array.of(0, 1, 2, 3),
      ranks: Int32Array.of(0, 0, 0, 0),
      maxDepth: 3,
      width: 1,
    });
    expect(chain(0).parents).toEqual(Int32Array.of(-1));
  });

  it('are full trees', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 }), (widths) => {
        const plan = full(widths);
        expectWellFormed(plan);
        expect(plan.maxDepth).toBe(widths.length);
        let level = 1;
        const nodes = widths.reduce((sum, width) => sum + (level *= width), 1);
        expect(plan.parents).toHaveLength(nodes);
      }),
    );
  });

  it('are built by buildTree', () => {
    const shared = new RankPathStatistics(3);
    expect(buildTree({ tree: 'chain', depth: 2 })).toEqual(chain(2));
    expect(buildTree({ tree: 'full', widths: [2, 2] })).toEqual(full([2, 2]));
    expect(buildTree({ tree: 'best', nodes: 9, statistics: shared })).toEqual(best(9, shared));
  });

  it.each<[unknown, ...string[]]>([
    [
      { tree: 'full', widths: [2, 0] },
      'buildTree: shape.widths[1] must be an integer from 1 to 4096, but is 0',
    ],
    [{ tree: 'full', widths: [64, 64] }, 'buildTree: nodes of shape.widths must be', '4160'],
    [{ tree: 'chain', depth: 1e9 }, 'buildTree: shape.depth must be an integer from 0 to 4096'],
    [{ tree: 'best', nodes: 3 }, 'buildTree: shape.statistics is missing'],
    [{ tree: 'bush' }, 'buildTree: shape.tree must be one of chain, full, best, but is "bush"'],
    [undefined, 'buildTree: shape is missing'],
  ])('buildTree refuses %j and names the option', (shape, ...parts) => {
    expect(() => buildTree(shape as TreeShape)).toThrow(foretokenError('INVALID_ARGUMENT', ...parts));
  });
});

describe('best trees', () => {
  it('are well formed, of the given size, and each the beginning of the next', () => {
    fc.assert(
      fc.property(statistics, fc.integer({ min: 0, max: 40 }), (given, nodes) => {
        const plan = best(nodes, given);
        expectWellFormed(plan);
        const most = given.maxDepth === 1 ? MAX_RANK + 1 : Infinity;
        expect(plan.parents).toHaveLength(1 + Math.min(nodes, most));
        expect(plan.maxDepth).toBeLessThanOrEqual(given.maxDepth);
        const larger = best(nodes + 1, given);
        expect(larger.parents.subarray(0, plan.parents.length)).toEqual(plan.parents);
        expect(larger.ranks.subarray(0, plan.ranks.length)).toEqual(plan.ranks);
      }),
    );
  });

  it('expect at least as many tokens as any tree of their size', () => {
    fc.assert(
      fc.property(
        statistics,
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: MAX_RANK })), { minLength: 1, maxLength: 12 }),
        (given, growth) => {
          // Grow any tree node by node.
          const nodes = [{ parent: -1, depth: 0, rank: 0 }];
          for (const [seed, rank] of growth) {
            const parent = seed % nodes.length;
            const depth = nodes[parent]!.depth + 1;
            const isNew = !nodes.some((node) => node.parent === parent && node.rank === rank);
            if (isNew && depth <= given.maxDepth) nodes.push({ parent, depth, rank });
          }
          const any: TreePlan = {
            parents: Int32Array.from(nodes, ({ parent }) => parent),
            depths: Int32Array.from(nodes, ({ depth }) => depth),
            ranks: Int32Array.from(nodes, ({ rank }) => rank),
            maxDepth: Math.max(...nodes.map(({ depth }) => depth)),
            width: 1 + Math.max(...nodes.map(({ rank }) => rank)),
          };
          const other = best(nodes.length - 1, given);
          expect(expectedTokens(other, given)).toBeGreaterThanOrEqual(expectedTokens(any, given) - 1e-12);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('statistics', () => {
  it('begin with a sensible prior', () => {
    const prior = new RankPathStatistics(4);
    expect(prior.acceptance([])).toBe(1);
    expect(prior.acceptance([0])).toBeGreaterThan(prior.acceptance([1]));
    expect(prior.acceptance([0, 0])).toBeLessThan(prior.acceptance([0]));
    // Siblings exclude each other.
    const ranks = Array.from({ length: MAX_RANK + 1 }, (_, rank) => prior.acceptance([rank]));
    expect(ranks.reduce((sum, p) => sum + p, 0)).toBeLessThan(1);
    expect(best(4, prior).maxDepth).toBeGreaterThan(1);
  });

  it('are empty for paths that are never drafted', () => {
    const prior = new RankPathStatistics(2);
    expect([prior.acceptance([0, 0, 0]), prior.acceptance([MAX_RANK + 1])]).toEqual([0, 0]);
  });

  it('converge to the observed acceptance of each path', () => {
    const counted = new RankPathStatistics(2);
    const plan = full([2, 1]); // nodes 1, 2 of depth 1, then 3 under 1 and 4 under 2
    for (let step = 0; step < 8000; step++) {
      counted.observe(plan, [[0, 1, 3], [0, 1], [0, 2, 4], [0]][step % 4]!);
    }
    expect(counted.acceptance([0])).toBeCloseTo(0.5, 2);
    expect(counted.acceptance([1])).toBeCloseTo(0.25, 2);
    expect(counted.acceptance([0, 0])).toBeCloseTo(0.25, 2);
    // The head was always right under the second choice.
    expect(counted.conditional([1, 0])).toBeCloseTo(1, 2);
    expect(counted.conditional([0, 0])).toBeCloseTo(0.5, 2);
    expect(expectedTokens(plan, counted)).toBeCloseTo(1 + 0.5 + 0.25 + 0.25 + 0.25, 1);
  });

  it('add the acceptance of each node to the expected tokens', () => {
    fc.assert(
      fc.property(statistics, (given) => {
        const plan = best(20, given);
        const expected = expectedTokensBySize(plan, given);
        expect(expected[0]).toBe(1);
        pathsOf(plan).forEach((path, node) => {
          if (node === 0) return;
          expect(expected[node]! - expected[node - 1]!).toBeCloseTo(given.acceptance(path), 12);
        });
        expect(expectedTokens(plan, given)).toBe(expected.at(-1));
      }),
    );
  });
});
